import { AdministrationServiceDefinition } from '@gatehouse/proto/auth/v1/administration_service';
import { ClusterServiceDefinition } from '@gatehouse/proto/auth/v1/cluster_service';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import { LoginServiceDefinition } from '@gatehouse/proto/auth/v1/login_service';
import { loginRaw, type RawConnection, type RawCredential } from '@gatehouse/protocol-ssh/testing';
/** One cluster to everybody, however many replicas it has. RBC-10, API-04, 05, 07, 08; OPS-03. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import type { Cluster } from '../stack/cluster.js';
import { readCredential } from '../stack/credential.js';
import { searchEvents, sessionEvents, waitForEvent } from '../stack/events.js';
import { runThrough } from '../stack/load.js';
import type { Person } from '../stack/person.js';
import { twoOfEach } from '../stack/plan.js';
import { connectAnonymously, connectAs } from '../stack/rpc.js';
import { eventually, run } from '../stack/run.js';
import type { Service, ServiceName } from '../stack/service.js';
import { createClusterWorld, type World } from '../stack/world.js';

const target = 'deploy@web-1';

let world: World<Cluster>;
beforeAll(async () => {
  world = await createClusterWorld({
    only: 'staging',
    replicas: twoOfEach,
    people: { alice: ['dev'], bob: ['dev'], dora: ['two'] },
    roles: [
      {
        kind: 'role',
        version: 'v1',
        metadata: { name: 'two' },
        spec: {
          options: { max_sessions: 2 },
          allow: { logins: ['deploy'], node_labels: { env: 'staging' } },
        },
      },
    ],
  });
}, 180_000);
afterAll(async () => world?.[Symbol.asyncDispose]());

const services = (name: ServiceName): Service[] => world.home.of(name);
const proxies = (): [string, string] => {
  const [first = '', second = ''] = services('proxy').map(({ listen }) => listen);
  return [first, second];
};

/** A session that stays. */
async function open(proxy: string, credential: RawCredential): Promise<RawConnection> {
  const port = Number(proxy.split(':')[1]);
  const session = await loginRaw({ port, userName: target, ...credential });
  onTestFinished(() => session[Symbol.dispose]());
  await session.openSession();
  return session;
}

const outcome = async (proxy: string, credential: RawCredential): Promise<string> =>
  runThrough(proxy, { credential, target, command: 'echo done' }).then(
    ({ stdout }) => stdout,
    (thrown: unknown) => String(thrown),
  );

async function as(person: Person, proxy: string) {
  const connection = await connectAs(person, { address: proxy });
  onTestFinished(() => connection[Symbol.dispose]());
  return connection;
}

describe('a limit of sessions', () => {
  it('counts over both proxies, and a client that was killed makes room in 30 s (RBC-10)', async () => {
    const [first, second] = proxies();
    const dora = await readCredential(world.person('dora'));
    const from = new Date().toISOString();
    const one = await open(first, dora);
    await open(second, dora);
    for (const proxy of [first, second])
      expect(await outcome(proxy, dora)).toContain('limit of 2 sessions');
    await waitForEvent(world.ada, { type: 'limit.reached', user: 'dora', from });
    one[Symbol.dispose]();
    await eventually('room', async () => (await outcome(second, dora)) === 'done\n', 30_000);
  }, 90_000);
});

describe('what is done at one replica', () => {
  it('holds at the other: a lock, a logout, a token (API-04)', async () => {
    const [first, second] = proxies();
    const bob = await readCredential(world.person('bob'));
    const administration = (await as(world.ada, first)).client(AdministrationServiceDefinition);
    const session = await open(second, bob);
    const at = performance.now();
    const { documentJson } = await administration.createLock({ user: 'bob', message: 'API-04' });
    expect(await session.ended()).toContain('API-04');
    expect(performance.now() - at).toBeLessThan(5_000);
    const { metadata } = JSON.parse(documentJson) as { metadata: { name: string } };
    const other = (await as(world.ada, second)).client(AdministrationServiceDefinition);
    await other.deleteDocument({ kind: 'lock', name: metadata.name });
    await eventually('bob at the first', async () => (await outcome(first, bob)) === 'done\n');

    const login = (await as(world.person('bob'), first)).client(LoginServiceDefinition);
    await login.logout({});
    await eventually('the second to refuse him', async () =>
      /login has ended/.test(await outcome(second, bob)),
    );

    const { token } = await administration.createJoinToken({ labels: {}, names: [], group: '' });
    const enroll = async (proxy: string) => {
      const connection = connectAnonymously(world.home, { address: proxy });
      onTestFinished(() => connection[Symbol.dispose]());
      return connection
        .client(EnrollmentServiceDefinition)
        .enrollAgent({ token, name: 'twice', publicKey: Buffer.from('none'), group: '' });
    };
    // A key that is none does not use the token up; a token that is none would be said first.
    await expect(enroll(second)).rejects.toMatchObject({ kind: 'invalid_argument' });
  }, 60_000);
});

describe('services that are private', () => {
  it('answer no person on their own ports, and offer the public port nothing of theirs (API-07)', async () => {
    const [first] = proxies();
    const [auth] = services('auth');
    const report = { replicaId: 'srv_x', started: [], ended: [], complete: true, maxSessions: 0 };
    for (const person of [world.ada, world.person('alice')]) {
      const own = await connectAs(person, { address: auth?.listen ?? '' });
      onTestFinished(() => own[Symbol.dispose]());
      const inner = own.client(ClusterServiceDefinition);
      await expect(inner.reportSessions(report)).rejects.toMatchObject({
        kind: expect.stringMatching(/permission_denied|unauthenticated|unavailable/) as string,
      });
      const outer = (await as(person, first)).client(ClusterServiceDefinition);
      await expect(outer.reportSessions(report)).rejects.toThrow();
      await expect(outer.findLiveSessions({ ids: [] })).rejects.toThrow();
    }
    const self = (await as(world.person('alice'), first)).client(LoginServiceDefinition);
    expect((await self.getSelf({})).self?.user).toBe('alice');
  });
});

describe('callers without a certificate', () => {
  it('write nothing but bounded counters, and are slowed (API-08)', async () => {
    const before = await countRows();
    const connection = connectAnonymously(world.home, { address: world.home.ready.proxyAddr });
    onTestFinished(() => connection[Symbol.dispose]());
    const login = connection.client(LoginServiceDefinition);
    const enrollment = connection.client(EnrollmentServiceDefinition);
    const refused = new Map<string, number>();
    const note = (thrown: unknown) => {
      const kind = String((thrown as { kind?: unknown }).kind);
      refused.set(kind, (refused.get(kind) ?? 0) + 1);
    };
    for (let round = 0; round < 100; round += 1)
      await Promise.all(
        Array.from({ length: 10 }, async (_, index) => {
          const token = `no-such-${round}-${index}`;
          const call =
            index % 2 === 0
              ? login.getInvite({ token, clientAddress: '' })
              : enrollment.enrollAgent({
                  token,
                  name: 'x',
                  publicKey: Buffer.alloc(91),
                  group: '',
                });
          await call.catch(note);
        }),
      );
    expect(refused.get('resource_exhausted') ?? 0).toBeGreaterThan(500);
    const after = await countRows();
    for (const [table, rows] of after)
      if (!/outbox|audit_row/.test(table))
        expect(rows - (before.get(table) ?? 0), table).toBeLessThan(20);
    // Whoever has the same address waits with it, a second for each failure that counted.
    await eventually(
      'a real login',
      async () => (await world.person('alice').tryLogin()).code === 0,
      60_000,
    );
  }, 120_000);
});

async function countRows(): Promise<Map<string, number>> {
  const database = `postgres://postgres@${world.home.postgres.address}/gatehouse_auth`;
  const tables = await psql(
    database,
    `select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
  );
  const counts = new Map<string, number>();
  for (const table of tables.split('\n').filter((line) => line !== ''))
    counts.set(table, Number(await psql(database, `select count(*) from ${table}`)));
  return counts;
}

async function psql(url: string, statement: string): Promise<string> {
  const { code, stdout, stderr } = await run('psql', [url, '-Atc', statement]);
  if (code !== 0) throw new Error(stderr);
  return stdout.trim();
}

describe('the databases of auth- and audit-service', () => {
  it('let in the other one’s user as little as anybody else', async () => {
    const { address } = world.home.postgres;
    const ask = async (user: string, name: string) =>
      psql(`postgres://${user}@${address}/${name}`, 'select 1');
    await world.home.postgres.ask('create role stranger login');
    for (const [own, other] of [
      ['gatehouse_auth', 'gatehouse_audit'],
      ['gatehouse_audit', 'gatehouse_auth'],
    ] as const) {
      for (const user of [other, 'stranger'])
        await expect(ask(user, own), `${user} in ${own}`).rejects.toThrow('permission denied');
      expect(await ask(own, own)).toBe('1');
    }
  });
});

describe('a dump of both databases', () => {
  it('has people’s names and no secret (API-05)', async () => {
    const { token } = await world.ada.json<{ token: string }>(['tokens', 'add', '--type', 'agent']);
    const invited = await world.ada.json<{ inviteUrl: string }>([
      'users',
      'add',
      'zoe',
      '--roles',
      'dev',
    ]);
    const dumps = await Promise.all(
      ['gatehouse_auth', 'gatehouse_audit'].map(async (name) => {
        const url = `postgres://postgres@${world.home.postgres.address}/${name}`;
        return (await run('pg_dump', [url])).stdout;
      }),
    );
    const text = dumps.join('\n');
    expect(text).toContain('alice');
    const invitation = invited.inviteUrl.split('/').at(-1) ?? '';
    for (const secret of [world.ada.password, world.person('alice').password, token, invitation])
      expect(text).not.toContain(secret);
    expect(text).not.toMatch(/PRIVATE KEY|otpauth:/);
  }, 60_000);
});

describe('a proxy that never comes back', () => {
  it('has one end for each of its sessions a minute later, and no second one when it does (OPS-03)', async () => {
    const from = new Date().toISOString();
    const [first, second] = proxies();
    const alice = await readCredential(world.person('alice'));
    const kept = await open(second, alice);
    await open(first, alice);
    const started = await eventually('both to be stored', async () => {
      const all = await searchEvents(world.ada, { type: 'session.started', user: 'alice', from });
      return all.length >= 2 && all;
    });
    const [lost] = services('proxy');
    await lost?.stop('SIGKILL');
    const killedAt = performance.now();
    const ended = await waitForEvent(
      world.ada,
      { type: 'session.ended', user: 'alice', from },
      ({ reason }) => reason === 'proxy_lost',
      120_000,
    );
    expect(performance.now() - killedAt).toBeGreaterThan(40_000);
    expect(ended).toMatchObject({ outcome: 'failure', data: { synthesised: true } });
    expect(await outcome(second, alice)).toBe('done\n');
    await lost?.start();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const events = await sessionEvents(world.ada, ended.sessionId ?? '');
    expect(events.filter(({ type }) => type === 'session.ended')).toHaveLength(1);
    const ids = new Set(started.map(({ sessionId }) => sessionId));
    expect(ids.size).toBe(2);
    expect(kept).toBeDefined();
  }, 180_000);
});
