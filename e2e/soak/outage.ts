/** A part that the others need is away under load, then back: what goes on, what is said meanwhile, and that nothing is lost or doubled. */
import type { Cluster } from '../stack/cluster.js';
import { readCredential } from '../stack/credential.js';
import { runThrough, startKeptLoad, startLoad } from '../stack/load.js';
import { eventually } from '../stack/run.js';
import type { World } from '../stack/world.js';
import { keepSessions } from './sessions.js';
import { createSoakWorld, describeLoad, pause, settle, tally, target, type Soak } from './soak.js';

interface Part {
  kill(home: Cluster): Promise<unknown>;
  start(home: Cluster): Promise<unknown>;
}

const parts: Readonly<Record<string, Part>> = {
  kafka: { kill: async (home) => home.kafka.kill(), start: async (home) => home.kafka.restart() },
  postgres: {
    kill: async (home) => home.postgres.stop('SIGKILL'),
    start: async (home) => home.postgres.start(),
  },
  auth: {
    kill: async (home) => Promise.all(home.of('auth').map(async (one) => one.stop('SIGKILL'))),
    start: async (home) => Promise.all(home.of('auth').map(async (one) => one.start())),
  },
};

export const outageSoak: Soak = {
  name: 'outage',
  summary: `one of ${Object.keys(parts).join(', ')} (--part, kafka) away for --seconds (60) under --rate (20) commands a second, a fifth of them with connections of their own`,
  async run({ seconds = 60, rate = 20, part: name = 'kafka', say }) {
    const part = parts[name];
    if (part === undefined) return [`no part is called ${name}`];
    await using world = await createSoakWorld({ people: { alice: ['dev'], bob: ['dev'] } });
    const person = world.person('alice');
    // A login over SSH costs this machine more than it can do twenty times a second.
    const load = await startLoad({ person, target, perSecond: rate / 5 });
    const kept = await startKeptLoad({ person, target, perSecond: (rate * 4) / 5 });
    const sessions = await keepSessions(world, 8);
    await pause(10);
    say(
      `before: ${load.done.length + kept.done.length} commands, ${sessions.begun()} sessions; ${name} is killed`,
    );
    await part.kill(world.home);
    for (let at = 0; at < seconds; at += 10) {
      await pause(Math.min(10, seconds - at));
      say(`away ${Math.min(at + 10, seconds)} s: ${await describeProxies(world.home)}`);
    }
    const heard = [await describeNewcomer(world), await describeLogin(world)];
    say(`whoever was not there before: ${heard[0]}`);
    say(`a login: ${heard[1]}`);
    const back = performance.now();
    await part.start(world.home);
    await eventually('nothing to be degraded', async () => isWhole(world.home), 120_000);
    say(`${name} is back; nothing degraded ${secondsSince(back)} s later`);
    await eventually(
      'a login',
      async () => (await world.person('bob').tryLogin()).code === 0,
      120_000,
    );
    say(`a login succeeded ${secondsSince(back)} s later; then: ${await describeNewcomer(world)}`);
    await pause(10);
    const deaths = await sessions.stop();
    await Promise.all([load.stop(), kept.stop()]);
    say(`commands: ${describeLoad(load)}; through kept connections: ${describeLoad(kept)}`);
    say(`open sessions: ${sessions.begun()} begun, ${deaths.length} ended before their time`);
    const failures = [...load.failed, ...kept.failed].map(({ failure }) => failure ?? '');
    if (failures.length > 0) say(`failed: ${tally(failures)}`);
    const faults = await settle(world, [...load.attempts, ...kept.attempts], say);
    return [
      ...faults,
      ...heard.filter((text) => /internal/i.test(text)),
      ...deaths.map(({ text }) => `a session ended: ${text}`),
      ...(failures.length > 0 ? [`${failures.length} commands failed`] : []),
    ];
  },
};

const secondsSince = (since: number) => ((performance.now() - since) / 1_000).toFixed(1);

async function describeProxies(home: Cluster): Promise<string> {
  const proxies = home.of('proxy');
  const sizes = await Promise.all(
    proxies.map(async (one) => one.metric('gatehouse_spool_events_bytes')),
  );
  const states = await Promise.all(proxies.map(async (one) => one.readiness()));
  const said = states.map(({ code, degraded }) => `${code} [${degraded.join(' ')}]`);
  return `spools ${sizes.map((size) => `${(size / 1024).toFixed(0)} KiB`).join(' + ')}; /readyz ${said.join(', ')}`;
}

async function isWhole(home: Cluster): Promise<boolean> {
  const states = await Promise.all(home.of('proxy').map(async (one) => one.readiness()));
  return states.every(({ degraded }) => degraded.length === 0);
}

/** What somebody hears who has not been through a proxy before. */
async function describeNewcomer(world: World<Cluster>): Promise<string> {
  const credential = await readCredential(world.person('bob'));
  return runThrough(world.home.ready.proxyAddr, { credential, target, command: 'echo done' }).then(
    ({ stdout }) => stdout.trim(),
    (thrown: unknown) => String(thrown).trim(),
  );
}

async function describeLogin(world: World<Cluster>): Promise<string> {
  const { code, stdout, stderr } = await world.person('bob').tryLogin();
  return `exit ${code}: ${(stdout + stderr).trim().split('\n').join(' / ')}`;
}
