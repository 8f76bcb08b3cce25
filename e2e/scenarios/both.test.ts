/** What runs at home runs in a cluster, with the same outcomes, texts and events (OPS-12). */
import { expect, it, onTestFinished } from 'vitest';

import { searchEvents, type Event } from '../stack/events.js';
import type { Installation } from '../stack/installation.js';
import type { Person } from '../stack/person.js';
import { eventually, run, type RunResult } from '../stack/run.js';
import { createClusterWorld, createWorld, type World } from '../stack/world.js';

const target = 'deploy@web-1';

type Step = (world: World<Installation>, alice: Person) => Promise<RunResult>;

/** By the ids of the scenarios that they are of; none of them is marked as of one place. */
const steps: Readonly<Record<string, Step>> = {
  'SSH-01 a command': async (_world, alice) => alice.ssh([target, 'echo out; echo err >&2']),
  'SSH-03 an exit code': async (_world, alice) => alice.ssh([target, 'exit 7']),
  'SSH-04 a signal': async (_world, alice) => alice.ssh([target, 'kill -TERM $$']),
  'SSH-02 a terminal': async (_world, alice) =>
    alice.ssh(['-tt', target, 'echo in a terminal; stty size']),
  'SSH-07 a target that is not there': async (_world, alice) =>
    alice.ssh(['deploy@no-such', 'true']),
  'RBC-02 a login that is not allowed': async (_world, alice) => alice.ssh(['root@web-1', 'true']),
  'FT-01 a file by sftp': async (_world, alice) =>
    run('sftp', ['-F', await alice.sshConfig(), '-b', '-', target], {
      env: { GATE_HOME: alice.gateHome, SSH_AUTH_SOCK: '' },
      stdin: 'pwd\nls /etc/hostname\n',
    }),
  'FWD-01 a forward that is refused': async (_world, alice) =>
    alice.ssh(['-o', 'ExitOnForwardFailure=yes', '-W', '127.0.0.1:1', target]),
  'API-01 a list': async (_world, alice) => alice.gate(['ls']),
  'LCK-01 a lock': async (world, alice) => {
    const lock = await world.ada.json<{ metadata: { name: string } }>([
      'lock',
      '--user',
      'alice',
      '--message',
      'both',
    ]);
    const refused = await eventually('the lock', async () => {
      const tried = await alice.ssh([target, 'true']);
      return tried.code !== 0 && tried;
    });
    await world.ada.gate(['delete', `lock/${lock.metadata.name}`]);
    await eventually('no lock', async () => (await alice.ssh([target, 'true'])).code === 0);
    return refused;
  },
  'AUD-10 a search that is too wide': async (_world, alice) =>
    alice.gate(['audit', 'search', '--from', 'yesterday']),
};

/** Ids, times, ports and the cluster's name apart. */
function common(text: string): string {
  return text
    .replaceAll(/\b(err|ses|rec|evt|lgn|agt|srv)_[0-9a-f]+/g, '$1_…')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/(localhost|127\.0\.0\.1):\d+/g, 'ADDRESS')
    .replaceAll(/sha256:[\w+/=-]+/g, 'PIN');
}

async function walk(world: World<Installation>) {
  const alice = world.person('alice');
  const from = new Date().toISOString();
  const outcomes: Record<string, unknown> = {};
  for (const [name, step] of Object.entries(steps)) {
    const { code, stdout, stderr } = await step(world, alice);
    outcomes[name] = { code, stdout: common(stdout), stderr: common(stderr) };
  }
  const events = await eventually('the end of all sessions', async () => {
    const all = await searchEvents(world.ada, { user: 'alice', from });
    const count = (type: string) => all.filter((event) => event.type === type).length;
    return count('session.started') === count('session.ended') && all;
  });
  return { outcomes, events: events.map(shapeOf).toSorted() };
}

/** What is the same of two events of the same doing. */
function shapeOf({ type, outcome, reason = '', sequence = 0, data }: Event): string {
  return [type, outcome, reason, sequence, Object.keys(data).toSorted()].join(' ');
}

it('has the same outcomes, texts and events at home and in a cluster (OPS-12)', async () => {
  const places = await Promise.all([
    createWorld({ only: 'staging' }),
    // With one proxy: each has a certificate of its own issued for a person.
    createClusterWorld({
      only: 'staging',
      replicas: { auth: 1, proxy: 1, tunnel: 2, audit: 1 },
    }),
  ]);
  onTestFinished(
    async () => void (await Promise.all(places.map(async (one) => one[Symbol.asyncDispose]()))),
  );
  const [home, cluster] = [await walk(places[0]), await walk(places[1])];
  expect(cluster.outcomes).toEqual(home.outcomes);
  expect(cluster.events).toEqual(home.events);
  expect(home.events.length).toBeGreaterThan(15);
  process.stdout.write(`run at home and in a cluster: ${Object.keys(steps).join(', ')}\n`);
}, 300_000);
