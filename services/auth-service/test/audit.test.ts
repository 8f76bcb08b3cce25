import { topics } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { MemoryBroker } from '@gatehouse/kit/testing';
import { LoginServiceDefinition } from '@gatehouse/proto/auth/v1/login_service';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { insertAuditText } from '../src/store/testing.js';
import {
  acceptInvite,
  addPerson,
  applyYamlLike,
  createAdministrator,
  createTestFiles,
  createTestStore,
  engines,
  logIn,
  refusal,
  startCluster,
  startWithAdministrator,
  TestClock,
  type EnrolledService,
  type LoggedIn,
  type TestCluster,
} from './support.js';

describe.each(engines)('audit events on %s', (engine) => {
  let stack: AsyncDisposableStack;
  let cluster: TestCluster;
  let ada: LoggedIn;
  let proxy: EnrolledService;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    ({ cluster, ada } = await startWithAdministrator(engine, stack));
    proxy = await cluster.enroll('proxy');
  }, 180_000);
  afterAll(async () => stack.disposeAsync());

  const session = (fields: object = {}) => ({
    id: createId('ses'),
    protocol: 'ssh',
    user: 'ada',
    target: 'web-1',
    targetKind: 'node',
    principal: 'deploy',
    loginId: createId('lgn'),
    clientAddress: '192.0.2.7:1',
    ...fields,
  });

  // A proxy that was taken over could stop the whole audit by a text that readers of the log refuse.
  it('hold whatever a proxy says within what readers of the log take', async () => {
    const long = 'x'.repeat(5_000);
    await refusal(
      proxy.connection
        .client(LoginServiceDefinition)
        .getInvite({ token: 'inv-wrong', clientAddress: long }),
    );
    const hostile = { target: long, loginId: `lgn_\0${long}`, clientAddress: long };
    await proxy.cluster.reportSessions({
      started: [
        session(),
        session({ ...hostile, targetKind: long }),
        session({ ...hostile, targetKind: '\0\ud800' }),
        session({ ...hostile, targetKind: '' }),
      ],
      maxSessions: 1,
    });
    const failed = (await cluster.events('login.failed')).at(-1);
    expect(failed?.actor.address?.length).toBeLessThan(1_000);
    const limits = await cluster.events('limit.reached');
    expect(limits.map(({ target }) => target?.kind)).toEqual([
      'x'.repeat(64),
      expect.stringMatching(/^.{1,64}$/),
      'node',
    ]);
    expect(cluster.broker.records(topics.deadLetters)).toEqual([]);
  });

  // Nobody could tell who had ended somebody's session.
  it('say who told a session to end', async () => {
    const one = session({ user: 'bob' });
    await proxy.cluster.reportSessions({ started: [one] });
    await ada.admin.endSession({ id: one.id });
    expect(await cluster.events('session.end_requested')).toMatchObject([
      {
        actor: { kind: 'user', name: 'ada' },
        target: { kind: 'node', name: 'web-1' },
        data: { session: one.id, user: 'bob' },
      },
    ]);
  });

  // A stolen link that set a password left no trace where no second factor was set up with it.
  it('say that a link set a password, with a second factor or without', async () => {
    const preference = {
      kind: 'cluster_auth_preference',
      version: 'v1',
      metadata: { name: 'cluster' },
      spec: { second_factor: 'off' },
    };
    await applyYamlLike(ada, preference);
    const zoe = await addPerson(cluster, ada, { name: 'zoe', roles: ['access'] });
    expect(zoe.totpUri).toBe('');
    await ada.admin.deleteDocument({ kind: 'cluster_auth_preference', name: 'cluster' });
    const { token } = await ada.admin.resetUser({ user: 'zoe' });
    await acceptInvite(cluster, { token, name: '' });
    const set = await cluster.events('password.set');
    expect(set.map(({ actor, data }) => ({ name: actor.name, ...data }))).toEqual([
      { name: 'ada', user: 'ada', link: 'first_administrator' },
      { name: 'zoe', user: 'zoe', link: 'invite' },
      { name: 'zoe', user: 'zoe', link: 'reset' },
    ]);
    expect(set.at(-1)?.actor.address).toContain('192.0.2.1');
  });

  // One row that could not be decoded kept every later event from the log.
  it('go on past one that can’t be decoded, which is kept as a dead letter', async () => {
    await insertAuditText(cluster.store.database, '{"type":"nonsense"}');
    await ada.admin.createLock({ user: 'mallory', message: 'm' });
    expect((await cluster.events('lock.created')).length).toBe(1);
    const letters = cluster.broker.records(topics.deadLetters);
    expect(letters.map(({ value }) => value.toString())).toEqual(['{"type":"nonsense"}']);
    expect(letters[0]?.headers).toMatchObject({
      dead_topic: topics.audit,
      dead_reason: expect.stringContaining('id') as string,
    });
  });
});

// Whoever reads the log from outside had each of them as often as there were replicas.
it('puts each event on the log once, though every replica is told of it', async () => {
  await using store = await createTestStore('postgres');
  using files = createTestFiles();
  const shared = { store, files, clock: new TestClock(), broker: new MemoryBroker() };
  await using one = await startCluster(shared);
  await using _two = await startCluster(shared);
  const ada = await logIn(one, await createAdministrator(one));
  for (let round = 0; round < 20; round += 1)
    await applyYamlLike(ada, {
      kind: 'lock',
      version: 'v1',
      metadata: { name: `lock-${round}` },
      spec: { target: { user: `nobody-${round}` } },
    });
  const ids = (await one.events()).map(({ id }) => id);
  expect(ids.length).toBeGreaterThan(20);
  expect(ids).toHaveLength(new Set(ids).size);
});
