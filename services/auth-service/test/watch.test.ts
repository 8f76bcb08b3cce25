import { systemClock } from '@gatehouse/kit/clock';
import { createId } from '@gatehouse/kit/ids';
import type { WatchResponse } from '@gatehouse/proto/auth/v1/cluster_service';
import { describe, expect, it, onTestFinished } from 'vitest';

import { pruneOutboxTo } from '../src/store/testing.js';
import { watchCluster } from '../src/watch/watch.js';
import {
  addPerson,
  applyYamlLike,
  createAdministrator,
  createTestFiles,
  createTestStore,
  engines,
  logIn,
  password,
  refusal,
  startCluster,
  TestClock,
  type Engine,
  type EnrolledService,
  type TestCluster,
} from './support.js';

type Event = NonNullable<WatchResponse['event']>;

/** A watcher that collects what it hears. */
function watch(service: EnrolledService, kinds: string[], afterId = 0n) {
  const events: Event[] = [];
  const abort = new AbortController();
  const done = (async () => {
    try {
      for await (const { event } of service.cluster.watch(
        { afterId, kinds },
        { signal: abort.signal },
      )) {
        if (event !== undefined) events.push(event);
      }
    } catch (thrown) {
      if (!abort.signal.aborted) throw thrown;
    }
  })();
  onTestFinished(async () => {
    abort.abort();
    await done.catch(() => undefined);
  });
  const changes = () =>
    events.filter((event) => event.$case === 'change').map((event) => event.value);
  const ready = async () =>
    expect
      .poll(() => events.some((event) => event.$case === 'snapshotEnd'), { timeout: 10_000 })
      .toBe(true);
  return { events, changes, ready, done, stop: () => abort.abort() };
}

async function open(engine: Engine): Promise<TestCluster> {
  const store = await createTestStore(engine);
  onTestFinished(async () => store[Symbol.asyncDispose]());
  const cluster = await startCluster({ store });
  onTestFinished(async () => cluster[Symbol.asyncDispose]());
  return cluster;
}

const role = (name: string, logins: string[] = []) => ({
  kind: 'role',
  version: 'v1',
  metadata: { name },
  spec: { allow: { logins } },
});

describe.each(engines)('watching on %s', (engine) => {
  it('gives trust, a whole snapshot, then every change in order and at once, and a heartbeat', async () => {
    const cluster = await open(engine);
    const ada = await logIn(cluster, await createAdministrator(cluster));
    const proxy = await cluster.enroll('proxy');
    const heard = watch(proxy, ['role', 'user', 'lock', 'trust', 'login_end', 'session_end']);
    await heard.ready();
    const order = heard.events.map((event) => event.$case);
    expect(order.slice(0, 2)).toEqual(['trust', 'snapshotBegin']);
    const snapshot = heard.changes();
    expect(snapshot.map((change) => `${change.kind}/${change.name}`).toSorted()).toEqual([
      'role/access',
      'role/admin',
      'role/approver',
      'role/auditor',
      'user/ada',
    ]);
    expect(snapshot.every((change) => change.id === 0n)).toBe(true);
    const at = performance.now();
    await applyYamlLike(ada, role('fast'));
    await expect
      .poll(() => heard.changes().some((change) => change.name === 'fast'), {
        timeout: 10_000,
        interval: 10,
      })
      .toBe(true);
    // A heartbeat comes after 5 s.
    expect(performance.now() - at).toBeLessThan(4_500);
    for (let index = 0; index < 20; index += 1)
      await applyYamlLike(ada, role('fast', [`login-${index}`]));
    await ada.admin.createLock({ user: 'nobody' });
    await ada.admin.deleteDocument({ kind: 'role', name: 'fast' });
    await ada.login.logout({});
    await expect
      .poll(() => heard.changes().some((change) => change.kind === 'login_end'), {
        timeout: 15_000,
      })
      .toBe(true);
    const live = heard.changes().filter((change) => change.id > 0n);
    expect(live.map((change) => change.id)).toEqual(
      live.map((change) => change.id).toSorted((a, b) => Number(a - b)),
    );
    const revisions = live.filter((change) => change.name === 'fast' && change.documentJson !== '');
    expect(
      revisions.map(
        (change) =>
          (JSON.parse(change.documentJson) as { metadata: { revision: number } }).metadata.revision,
      ),
    ).toEqual(Array.from({ length: 21 }, (_, index) => index + 1));
    expect(live.at(-1)).toMatchObject({ kind: 'login_end', name: ada.loginId });
    expect(heard.events.some((event) => event.$case === 'heartbeat')).toBe(true);
  });

  it('tells when the present account of a name was made, whatever became of it since', async () => {
    const cluster = await open(engine);
    const ada = await logIn(cluster, await createAdministrator(cluster));
    const proxy = await cluster.enroll('proxy');
    const heard = watch(proxy, ['user']);
    await heard.ready();
    const told = () =>
      heard
        .changes()
        .filter(({ name, documentJson }) => name === 'bob' && documentJson !== '')
        .map(({ documentJson }) => JSON.parse(documentJson) as { state: { createdAt: string } })
        .map(({ state }) => Date.parse(state.createdAt));
    const beginning = cluster.clock.now();
    await addPerson(cluster, ada, { name: 'bob', roles: [] });
    cluster.clock.advance(60_000);
    await ada.admin.resetUser({ user: 'bob' });
    await ada.admin.deleteDocument({ kind: 'user', name: 'bob' });
    await applyYamlLike(ada, { kind: 'user', version: 'v1', metadata: { name: 'bob' }, spec: {} });
    await expect.poll(() => told().length, { timeout: 15_000 }).toBe(3);
    const [made = 0, reset, again = 0] = told();
    expect(made).toBeGreaterThanOrEqual(beginning);
    expect(reset).toBe(made);
    expect(again - made).toBeGreaterThanOrEqual(60_000);
    const late = watch(proxy, ['user']);
    await late.ready();
    const { documentJson = '' } = late.changes().find(({ name }) => name === 'bob') ?? {};
    expect(JSON.parse(documentJson)).toMatchObject({
      state: { createdAt: new Date(again).toISOString() },
    });
  });

  it('resumes after the last id without a snapshot, and gives one where changes are missing', async () => {
    const cluster = await open(engine);
    const ada = await logIn(cluster, await createAdministrator(cluster));
    const proxy = await cluster.enroll('proxy');
    const first = watch(proxy, ['role']);
    await first.ready();
    const end = first.events.find((event) => event.$case === 'snapshotEnd');
    const id = end?.$case === 'snapshotEnd' ? end.value.id : 0n;
    first.stop();
    await applyYamlLike(ada, role('one'));
    await applyYamlLike(ada, role('two'));
    const resumed = watch(proxy, ['role'], id);
    await expect
      .poll(() => resumed.changes().map((change) => change.name), { timeout: 15_000 })
      .toEqual(['one', 'two']);
    expect(resumed.events.some((event) => event.$case === 'snapshotBegin')).toBe(false);
    const future = watch(proxy, ['role'], 1_000_000n);
    await future.ready();
    await pruneOutboxTo(cluster.store.database, 1);
    const old = watch(proxy, ['role'], id);
    await old.ready();
    expect(old.changes().map((change) => change.name)).toEqual(
      expect.arrayContaining(['one', 'two']),
    );
  });

  it('loses no change between snapshot and stream while many write at once', async () => {
    const cluster = await open(engine);
    const ada = await logIn(cluster, await createAdministrator(cluster));
    const proxy = await cluster.enroll('proxy');
    const names = Array.from({ length: 40 }, (_, index) => `many-${index}`);
    const writing = Promise.all(names.map(async (name) => applyYamlLike(ada, role(name))));
    const watchers = Array.from({ length: 5 }, () => watch(proxy, ['role']));
    await writing;
    for (const heard of watchers) {
      await expect
        .poll(() => new Set(heard.changes().map((change) => change.name)).size, { timeout: 10_000 })
        .toBe(names.length + 4);
      const ids = heard
        .changes()
        .map((change) => change.id)
        .filter((id) => id > 0n);
      expect(ids).toEqual(ids.toSorted((a, b) => Number(a - b)));
    }
  });

  it('tells watchers of every replica, whichever replica made the change', async () => {
    const store = await createTestStore(engine);
    onTestFinished(async () => store[Symbol.asyncDispose]());
    const files = createTestFiles();
    onTestFinished(() => files[Symbol.dispose]());
    const clock = new TestClock();
    const [one, two] = await Promise.all([
      startCluster({ store, files, clock }),
      startCluster({ store, files, clock }),
    ]);
    onTestFinished(
      async () =>
        void (await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()])),
    );
    const adaPerson = await createAdministrator(one);
    const ada = await logIn(two, adaPerson);
    const proxy = await one.enroll('proxy');
    const heard = watch(proxy, ['role', 'lock']);
    await heard.ready();
    const at = performance.now();
    await applyYamlLike(ada, role('across'));
    await expect
      .poll(() => heard.changes().some((change) => change.name === 'across'), {
        timeout: 10_000,
        interval: 10,
      })
      .toBe(true);
    expect(performance.now() - at).toBeLessThan(4_500);
    // A login counts on every replica; so does the use of its code.
    const person = await one.person(ada.keys);
    expect((await person.login.getSelf({})).self?.user).toBe('ada');
  });

  // Heartbeats alone would have them take an old view for the present one, and miss a lock that another replica wrote.
  it('sends services elsewhere while it can’t read its database', async () => {
    const cluster = await open(engine);
    const proxy = await cluster.enroll('proxy');
    const heard = watch(proxy, ['role']);
    await heard.ready();
    const ended = expect(heard.done).rejects.toMatchObject({ kind: 'unavailable' });
    const { schema } = cluster.store.database;
    await schema.alterTable('outbox').renameTo('outbox_away').execute();
    await ended;
    await schema.alterTable('outbox_away').renameTo('outbox').execute();
    const again = watch(proxy, ['role']);
    await again.ready();
  }, 60_000);

  it('says who must end which session, and tells no secret of people', async () => {
    const cluster = await open(engine);
    const ada = await logIn(cluster, await createAdministrator(cluster));
    const alice = await addPerson(cluster, ada, {
      name: 'alice',
      roles: ['access'],
      traits: { logins: 'deploy,root' },
    });
    const proxy = await cluster.enroll('proxy');
    const heard = watch(proxy, ['user', 'session_end']);
    await heard.ready();
    const id = createId('ses');
    await proxy.cluster.reportSessions({
      started: [{ id, protocol: 'ssh', user: 'alice', target: 't', targetKind: 'node' }],
    });
    await ada.admin.endSession({ id });
    await expect
      .poll(() => heard.changes().find((change) => change.kind === 'session_end'), {
        timeout: 15_000,
      })
      .toMatchObject({ name: id });
    const told = heard.changes().find((change) => change.kind === 'session_end');
    // A proxy that was away for so long that it gets a snapshot hears of it too, until no certificate can be left.
    const late = watch(proxy, ['session_end']);
    await late.ready();
    expect(late.changes()).toMatchObject([
      { kind: 'session_end', name: id, documentJson: told?.documentJson },
    ]);
    expect(JSON.parse(told?.documentJson ?? '')).toEqual({ reason: 'ended_by', by: 'ada' });
    const user = heard.changes().find((change) => change.name === 'alice');
    expect(JSON.parse(user?.documentJson ?? '')).toMatchObject({
      spec: { roles: ['access'], traits: { logins: ['deploy', 'root'] } },
    });
    const everything = JSON.stringify(heard.changes(), (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    for (const secret of [password, alice.totpUri, 'argon2'])
      expect(everything).not.toContain(secret);
  });

  it('refuses kinds that are unknown, none at all, and people’s documents to tunnel services', async () => {
    const cluster = await open(engine);
    const proxy = await cluster.enroll('proxy');
    const tunnel = await cluster.enroll('tunnel');
    const first = async (service: EnrolledService, kinds: string[]) => {
      for await (const response of service.cluster.watch({ kinds })) return response;
      return undefined;
    };
    expect(await refusal(first(proxy, []))).toMatchObject({ kind: 'invalid_argument' });
    expect(await refusal(first(proxy, ['user', 'password']))).toMatchObject({
      kind: 'invalid_argument',
    });
    expect(await refusal(first(tunnel, ['user']))).toMatchObject({ kind: 'invalid_argument' });
    expect(await first(tunnel, ['trust', 'lock', 'agent'])).toMatchObject({
      event: { $case: 'trust' },
    });
  });
});

// A watch that asked a closed hub again and again let nothing else have its turn: the process could not even stop.
it('ends where its hub has closed', async () => {
  const store = await createTestStore('pglite');
  onTestFinished(async () => store[Symbol.asyncDispose]());
  const cluster = await startCluster({ store });
  onTestFinished(async () => cluster[Symbol.asyncDispose]());
  let isClosed = false;
  const hub = {
    lastId: () => 0,
    isHealthy: () => false,
    isClosed: () => isClosed,
    wait: async () => void (isClosed = true),
    [Symbol.asyncDispose]: async () => undefined,
  };
  const { signal } = new AbortController();
  const notAsked = () => {
    throw new Error('this watch asks for no trust');
  };
  const authorities = { trust: notAsked, reload: notAsked };
  const deps = { store, hub, clock: systemClock, authorities };
  const heard: string[] = [];
  for await (const { event } of watchCluster(deps, { afterId: 0n, kinds: ['role'], signal }))
    heard.push(event.$case);
  expect(heard.slice(0, 1)).toEqual(['snapshotBegin']);
  expect(heard.slice(-2)).toEqual(['snapshotEnd', 'heartbeat']);
});
