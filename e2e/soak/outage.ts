/** Kafka is away under load, then back: nothing is lost or doubled, and what waits is seen in the spools. */
import { startLoad } from '../stack/load.js';
import { eventually } from '../stack/run.js';
import { createSoakWorld, pause, settle, tally, target, type Soak } from './soak.js';

export const outageSoak: Soak = {
  name: 'outage',
  summary: 'Kafka away for --seconds (60) under --rate (20) new connections a second',
  async run({ seconds = 60, rate = 20, say }) {
    await using world = await createSoakWorld();
    const proxies = world.home.of('proxy');
    const load = await startLoad({ person: world.person('alice'), target, perSecond: rate });
    await pause(10);
    say(`before: ${load.done.length} commands; Kafka is killed`);
    await world.home.kafka.kill();
    for (let at = 0; at < seconds; at += 10) {
      await pause(Math.min(10, seconds - at));
      const sizes = await Promise.all(
        proxies.map(async (one) => one.metric('gatehouse_spool_events_bytes')),
      );
      const states = await Promise.all(proxies.map(async (one) => one.readiness()));
      const said = states.map(({ code, degraded }) => `${code} [${degraded.join(' ')}]`);
      const kib = sizes.map((size) => `${(size / 1024).toFixed(0)} KiB`);
      say(
        `away ${Math.min(at + 10, seconds)} s: spools ${kib.join(' + ')}; /readyz ${said.join(', ')}`,
      );
    }
    const back = performance.now();
    await world.home.kafka.restart();
    await eventually(
      'the spools to be empty of what waited',
      async () => {
        const states = await Promise.all(proxies.map(async (one) => one.readiness()));
        return states.every(({ degraded }) => degraded.length === 0);
      },
      120_000,
    );
    say(
      `Kafka is back; nothing degraded ${((performance.now() - back) / 1_000).toFixed(1)} s later`,
    );
    await pause(10);
    await load.stop();
    const failures = load.failed.map(({ failure }) => failure ?? '');
    if (failures.length > 0) say(`failed: ${tally(failures)}`);
    const faults = await settle(world, load, say);
    return failures.length === 0 ? faults : [...faults, `${failures.length} commands failed`];
  },
};
