import { loginRaw, type RawCredential } from '@gatehouse/protocol-ssh/testing';
/** What is away, for a while: auth-service, PostgreSQL, one proxy's way to auth-service. OPS-01, 02, 13; LCK-02. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startBalancer, type Balancer } from '../stack/balancer.js';
import type { Cluster } from '../stack/cluster.js';
import { readCredential } from '../stack/credential.js';
import { waitForEvent } from '../stack/events.js';
import { runThrough } from '../stack/load.js';
import type { Person } from '../stack/person.js';
import { eventually } from '../stack/run.js';
import type { Service, ServiceName } from '../stack/service.js';
import { createClusterWorld, type World } from '../stack/world.js';

const target = 'deploy@web-1';
const role = (name: string, options: object, logins = ['deploy']) => ({
  kind: 'role',
  version: 'v1',
  metadata: { name },
  spec: { options, allow: { logins, node_labels: { env: 'staging' } } },
});

let world: World<Cluster>;
/** Has been through both proxies. */
let alice: Person;
let aliceHas: RawCredential;
/** Has logged in, and nothing else. */
let bobHas: RawCredential;
let steveHas: RawCredential;
/** The second proxy's way to auth-service. */
let way: Balancer;
beforeAll(async () => {
  world = await createClusterWorld({
    only: 'staging',
    replicas: { auth: 2, proxy: 2, tunnel: 2, audit: 1 },
    people: { alice: ['dev'], bob: ['dev'], steve: ['strict'] },
    roles: [role('strict', { lock_mode: 'strict' })],
  });
  alice = world.person('alice');
  aliceHas = await readCredential(alice);
  bobHas = await readCredential(world.person('bob'));
  steveHas = await readCredential(world.person('steve'));
  const [, second] = services('proxy');
  way = await startBalancer(
    0,
    services('auth').map(({ listen }) => listen),
  );
  second?.configure((config) => ({
    ...config,
    auth: { ...(config['auth'] as object), address: way.address },
  }));
  await second?.stop();
  await second?.start();
  for (const proxy of proxies()) await mark(proxy);
}, 180_000);
afterAll(async () => {
  await way?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

const services = (name: ServiceName): Service[] => world.home.of(name);
const proxies = (): string[] => services('proxy').map(({ listen }) => listen);

/** A command through one proxy that must succeed. */
async function mark(proxy: string, credential = aliceHas): Promise<void> {
  const answer = await runThrough(proxy, { credential, target, command: 'echo here' });
  expect(answer.stdout).toBe('here\n');
}

const refused = async (proxy: string, credential: RawCredential): Promise<string> =>
  runThrough(proxy, { credential, target, command: 'echo never' }).then(
    ({ stdout }) => `not refused: ${stdout}`,
    (thrown: unknown) => String(thrown),
  );

/** What must hold while nobody can log in. */
async function goOnWithout(): Promise<void> {
  const open = alice.ssh([target, 'echo began; sleep 6; echo went-on'], { timeoutMs: 60_000 });
  for (const proxy of proxies()) await mark(proxy);
  const [first = ''] = proxies();
  expect(await refused(first, bobHas)).toContain('cannot be reached without auth-service just now');
  const login = await alice.tryLogin();
  expect(login.code).toBe(1);
  expect(login.stdout + login.stderr).toMatch(/try again/i);
  await eventually(
    'the proxies to say so',
    async () => {
      const states = await Promise.all(services('proxy').map(async (one) => one.readiness()));
      return states.every(({ code, degraded }) => code === 200 && degraded.includes('auth'));
    },
    40_000,
  );
  for (const proxy of proxies()) await mark(proxy);
  const { code, stdout, stderr } = await open;
  expect(code, stderr).toBe(0);
  expect(stdout).toBe('began\nwent-on\n');
}

async function expectWhole(): Promise<void> {
  await eventually('a login', async () => (await alice.tryLogin()).code === 0, 60_000);
  for (const proxy of proxies()) {
    await mark(proxy);
    await eventually('bob', async () => mark(proxy, bobHas).then(() => true), 20_000);
  }
  await eventually(
    'the proxies to be whole',
    async () => {
      const states = await Promise.all(services('proxy').map(async (one) => one.readiness()));
      return states.every(({ degraded }) => degraded.length === 0);
    },
    30_000,
  );
}

describe('without auth-service', () => {
  it('goes on for whoever was active, says why it can do no more, and recovers by itself (OPS-01)', async () => {
    await Promise.all(services('auth').map(async (one) => one.stop('SIGKILL')));
    await goOnWithout();
    for (const one of services('auth')) await one.start();
    await expectWhole();
  }, 180_000);
});

describe('without PostgreSQL', () => {
  it('is the same, no service ends, and a change made after is seen by all in 2 s (OPS-02)', async () => {
    await world.home.postgres.stop('SIGKILL');
    await eventually(
      'auth-service not to be ready',
      async () => (await services('auth')[0]?.readiness())?.code === 503,
      30_000,
    );
    for (const proxy of proxies()) await mark(proxy);
    await world.home.postgres.start();
    await expectWhole();
    for (const name of ['auth', 'proxy', 'tunnel', 'audit'] as const)
      for (const one of services(name)) expect(one.isRunning).toBe(true);
    await world.apply(role('made-after', {}));
    await eventually('both proxies to have it', haveLastChange, 2_000);
  }, 180_000);
});

/** Do both proxies have what auth-service committed last? Only with changes of a kind that they watch. */
async function haveLastChange(): Promise<boolean> {
  const [auth] = services('auth');
  const last = await auth?.metric('gatehouse_watch_position');
  const have = await Promise.all(
    services('proxy').map(async (one) => one.metric('gatehouse_policy_position')),
  );
  return have.every((position) => position === last);
}

describe('one proxy that is cut off from auth-service', () => {
  it('ends and refuses strict sessions, keeps the others, and catches up without reading all anew (LCK-02, OPS-13)', async () => {
    const [first = '', second = ''] = proxies();
    for (const proxy of [first, second]) await mark(proxy, steveHas);
    const [, cutOff] = services('proxy');
    if (cutOff === undefined) throw new Error('no second proxy');
    const snapshots = await cutOff.metric('gatehouse_policy_snapshots');
    const dial = async (credential: RawCredential) =>
      loginRaw({ port: Number(second.split(':')[1]), userName: target, ...credential });
    const from = new Date().toISOString();
    using strict = await dial(steveHas);
    using easy = await dial(aliceHas);
    const easyChannel = await easy.openSession();
    await strict.openSession();
    await way[Symbol.asyncDispose]();

    // While it is cut off: a hundred changes, and auth-service's own listeners at the database are ended.
    for (let round = 0; round < 10; round += 1)
      await world.apply(
        ...Array.from({ length: 10 }, (_, index) =>
          role(`edited-${index}`, {}, [`login-${round}-${index}`]),
        ),
      );
    await world.home.postgres.ask(
      `select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen %'`,
    );
    expect(await haveLastChange()).toBe(false);

    expect(await strict.ended()).toContain('policy view is stale');
    expect(await refused(second, steveHas)).toContain('policy view is stale');
    await mark(second);
    await mark(first, steveHas);
    const { stdout } = await easyChannel.ask([{ name: 'exec', fields: ['echo still-here'] }]);
    expect(stdout).toBe('still-here\n');
    await waitForEvent(
      world.ada,
      { type: 'session.ended', user: 'steve', from },
      ({ reason }) => reason === 'stale_view',
    );

    const port = Number(way.address.split(':')[1]);
    way = await startBalancer(
      port,
      services('auth').map(({ listen }) => listen),
    );
    await eventually('it to catch up', haveLastChange, 10_000);
    expect(await cutOff.metric('gatehouse_policy_snapshots')).toBe(snapshots);
    await eventually('strict sessions', async () => mark(second, steveHas).then(() => true));
  }, 180_000);
});
