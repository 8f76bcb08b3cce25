/** Every replica of every service is stopped in order and started again, one after another, under new connections. */
import { startLoad, startTcpLoad } from '../stack/load.js';
import {
  createSoakWorld,
  describeLoad,
  echoTarget,
  pause,
  settle,
  tally,
  target,
  type Soak,
} from './soak.js';

export const rollingSoak: Soak = {
  name: 'rolling',
  summary:
    'a rolling restart of every service under --rate (20) new connections a second, a fifth of them commands over SSH, after --seconds (20) without one',
  async run({ rate = 20, seconds = 20, say }) {
    await using world = await createSoakWorld();
    const person = world.person('alice');
    // Most are raw: a command costs the clients and servers of SSH on this machine more than it costs what is shown here.
    const load = await startLoad({ person, target, perSecond: rate / 5 });
    const raw = await startTcpLoad({ person, target: echoTarget, perSecond: (rate * 4) / 5 });
    await pause(seconds);
    say(`before any restart: commands ${describeLoad(load)}; raw ${describeLoad(raw)}`);
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
    await Promise.all([load.stop(), raw.stop()]);
    say(`commands: ${describeLoad(load)}; raw: ${describeLoad(raw)}`);
    const failures = [...load.failed, ...raw.failed].map(({ failure }) => failure ?? '');
    if (failures.length > 0) say(`failed: ${tally(failures)}`);
    const faults = await settle(world, load.attempts, say);
    return failures.length === 0 ? faults : [...faults, `${failures.length} connections failed`];
  },
};
