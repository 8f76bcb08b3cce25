/**
 * kill -9 at random over every process, under load: journal, store and topic are the same in the end, and a session ends
 * before its time only where a part died that it ran through (D28, D29): its proxy, its tunnel replica, or the proxy through
 * which that tunnel came.
 */
import type { Cluster } from '../stack/cluster.js';
import { readStored } from '../stack/ledger.js';
import { startLoad } from '../stack/load.js';
import type { World } from '../stack/world.js';
import { keepSessions, type Death } from './sessions.js';
import { createSoakWorld, describeLoad, pause, settle, tally, target, type Soak } from './soak.js';

type Victim = 'auth' | 'proxy' | 'tunnel' | 'audit' | 'kafka' | 'postgres';

interface Kill {
  readonly victim: Victim;
  /** ms since the epoch. */
  readonly at: number;
  backAt: number;
}

export const chaosSoak: Soak = {
  name: 'chaos',
  summary:
    'kill -9 at random over every process for --seconds (600) under --rate (5) new connections a second',
  async run({ seconds = 600, rate = 5, say }) {
    await using world = await createSoakWorld();
    const load = await startLoad({ person: world.person('alice'), target, perSecond: rate });
    const sessions = await keepSessions(world, 8);
    const kills = await killAtRandom(world, seconds);
    const deaths = await sessions.stop();
    await load.stop();
    say(`killed: ${tally(kills.map(({ victim }) => victim))}`);
    const failures = load.failed.map(({ failure }) => failure ?? '');
    if (failures.length > 0) say(`commands that failed: ${tally(failures)}`);
    const unexplained = deaths.filter((death) => !isExplained(death.at, kills));
    say(
      `long sessions: ${sessions.begun()} begun, ${deaths.length} ended before their time, ` +
        `${unexplained.length} of them without a proxy or tunnel replica that had died`,
    );
    say(`commands: ${describeLoad(load)}`);
    const faults = await settle(world, load.attempts, say);
    const repeats = world.home
      .of('audit')
      .reduce((sum, { log }) => sum + (log.match(/events received again/g)?.length ?? 0), 0);
    say(`batches in which the consumers saw repeats: ${repeats}`);
    say(`ends: ${tally((await readStored(world.home)).flatMap(reasonOf))}`);
    return [
      ...faults,
      ...unexplained.map((death) => describeDeath(death, kills)),
      ...load.failed
        .filter(({ startedAt, ms }) => !isDisturbed(startedAt, startedAt + ms, kills))
        .map(({ mark, failure }) => `${mark} failed undisturbed: ${failure}`),
      ...(repeats < 10 ? [`repeats were seen ${repeats} times, not ten`] : []),
    ];
  },
};

const reasonOf = ({ type, reason }: { type: string; reason?: string | undefined }): string[] =>
  type === 'session.ended' ? [reason ?? 'none'] : [];

/** What a client may notice of a part that died: pings, dials and the agent's new tunnels take their time. */
const afterKillMs = 15_000;

function isExplained(at: number, kills: readonly Kill[]): boolean {
  return kills.some(
    (kill) =>
      (kill.victim === 'proxy' || kill.victim === 'tunnel') &&
      at >= kill.at - 500 &&
      at <= kill.at + afterKillMs,
  );
}

/** With what was killed last before it. */
function describeDeath({ at, text }: Death, kills: readonly Kill[]): string {
  const before = kills.filter((kill) => kill.at <= at).slice(-4);
  const list = before.map(({ victim, at: killed, backAt }) => {
    const [since, back] = [at - killed, at - backAt].map((ms) => (ms / 1_000).toFixed(1));
    return `${victim} ${since} s (back ${back} s)`;
  });
  return `ended ${new Date(at).toISOString()}: ${text}; killed before it: ${list.join(', ')}`;
}

/** Was anything at all away, or just back, while it ran? */
function isDisturbed(from: number, to: number, kills: readonly Kill[]): boolean {
  return kills.some((kill) => from <= kill.backAt + afterKillMs && to >= kill.at - 500);
}

async function killAtRandom(world: World<Cluster>, seconds: number): Promise<Kill[]> {
  const kills: Kill[] = [];
  const end = performance.now() + seconds * 1_000;
  // Postgres and Kafka take long to come back; they are one choice in ten each.
  const choices: Victim[] = [
    ...(['auth', 'proxy', 'tunnel', 'audit'] as const),
    ...(['auth', 'proxy', 'tunnel', 'audit'] as const),
    ...(['kafka', 'postgres'] as const),
  ];
  while (performance.now() < end) {
    const victim = choices[Math.floor(Math.random() * choices.length)] ?? 'proxy';
    const kill: Kill = { victim, at: Date.now(), backAt: Infinity };
    kills.push(kill);
    await killAndStart(world.home, victim);
    kill.backAt = Date.now();
    await pause(1 + Math.random() * 8);
  }
  return kills;
}

async function killAndStart(home: Cluster, victim: Victim): Promise<void> {
  const away = Math.random() * 4;
  if (victim === 'kafka') {
    await home.kafka.kill();
    await pause(away);
    return home.kafka.restart();
  }
  if (victim === 'postgres') {
    await home.postgres.stop('SIGKILL');
    await pause(away);
    await home.postgres.start();
    return;
  }
  const replicas = home.of(victim);
  const replica = replicas[Math.floor(Math.random() * replicas.length)];
  await replica?.stop('SIGKILL');
  await pause(away);
  await replica?.start();
}
