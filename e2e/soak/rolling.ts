/** Every replica of every service is stopped in order and started again, one after another, under new connections. */
import { startLoad } from '../stack/load.js';
import { createSoakWorld, describeLoad, pause, settle, tally, target, type Soak } from './soak.js';

export const rollingSoak: Soak = {
  name: 'rolling',
  summary:
    'a rolling restart of every service under --rate (20) new connections a second, after --seconds (20) without one',
  async run({ rate = 20, seconds = 20, say }) {
    await using world = await createSoakWorld();
    const load = await startLoad({ person: world.person('alice'), target, perSecond: rate });
    await pause(seconds);
    say(`before any restart: ${describeLoad(load)}`);
    for (const name of ['auth', 'audit', 'tunnel', 'proxy'] as const)
      for (const service of world.home.of(name)) {
        const at = performance.now();
        const code = await service.stop();
        const stopped = performance.now();
        await service.start();
        const [stopSeconds, startSeconds] = [stopped - at, performance.now() - stopped].map((ms) =>
          (ms / 1_000).toFixed(1),
        );
        say(`${name}: stopped with ${code} after ${stopSeconds} s, ready ${startSeconds} s later`);
      }
    await load.stop();
    const failures = load.failed.map(({ failure }) => failure ?? '');
    if (failures.length > 0) say(`failed: ${tally(failures)}`);
    const faults = await settle(world, load, say);
    return failures.length === 0 ? faults : [...faults, `${failures.length} commands failed`];
  },
};
