import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';

import { describe, expect, it, onTestFinished } from 'vitest';

import { inviteFirstAdministrator } from '../src/service.js';
import { cutConnections, readAuthorityRows, swapAuthorityKeys } from '../src/store/testing.js';
import {
  createAdministrator,
  createTestFiles,
  createTestStore,
  engines,
  logIn,
  startCluster,
  testConfig,
  TestClock,
  type TestStore,
} from './support.js';

async function openStore(engine: (typeof engines)[number]): Promise<TestStore> {
  const store = await createTestStore(engine);
  onTestFinished(async () => store[Symbol.asyncDispose]());
  return store;
}

describe.each(engines)('starting on %s', (engine) => {
  it('makes authorities and built-in roles once when two replicas start at once on an empty database', async () => {
    const store = await openStore(engine);
    using files = createTestFiles();
    const clusters = await Promise.all([
      startCluster({ store, files }),
      startCluster({ store, files }),
    ]);
    onTestFinished(
      async () => void (await Promise.all(clusters.map(async (one) => one[Symbol.asyncDispose]()))),
    );
    const [one, two] = clusters.map((cluster) => cluster.service.trust());
    expect(one).toEqual(two);
    expect(one?.hostTlsCa).toHaveLength(1);
    const rows = await readAuthorityRows(store.database);
    expect(rows.map((row) => row.kind).toSorted()).toEqual(
      [
        'app_jwt',
        'db_client',
        'host_ssh',
        'host_tls',
        'target_ssh',
        'user_ssh',
        'user_tls',
      ].toSorted(),
    );
  });

  it('refuses a wrong key-encryption key before it writes anything', async () => {
    const store = await openStore(engine);
    using files = createTestFiles();
    await (await startCluster({ store, files }))[Symbol.asyncDispose]();
    const before = await readAuthorityRows(store.database);
    await expect(
      startCluster({ store, files, config: { kek_file: files.newKek() } }),
    ).rejects.toThrow('key-encryption key does not match');
    expect(await readAuthorityRows(store.database)).toEqual(before);
    await (await startCluster({ store, files }))[Symbol.asyncDispose]();
  });

  it('refuses authorities whose sealed keys were swapped, and holds no key in clear', async () => {
    const store = await openStore(engine);
    using files = createTestFiles();
    await (await startCluster({ store, files }))[Symbol.asyncDispose]();
    const rows = await readAuthorityRows(store.database);
    for (const row of rows) expect(row.privateKey.toString('latin1')).not.toContain('PRIVATE KEY');
    await swapAuthorityKeys(store.database, 'user_ssh', 'host_ssh');
    await expect(startCluster({ store, files })).rejects.toThrow(
      'sealed authority.private_key does not open',
    );
    await swapAuthorityKeys(store.database, 'user_ssh', 'host_ssh');
    await (await startCluster({ store, files }))[Symbol.asyncDispose]();
  });

  it('refuses the database of another cluster', async () => {
    const store = await openStore(engine);
    using files = createTestFiles();
    await (await startCluster({ store, files }))[Symbol.asyncDispose]();
    await expect(startCluster({ store, files, config: { cluster_name: 'other' } })).rejects.toThrow(
      'belongs to cluster "test"',
    );
  });

  it('makes a new first-administrator link at each ask, ends the earlier one, and none once there is an administrator', async () => {
    const store = await openStore(engine);
    using files = createTestFiles();
    const clock = new TestClock();
    const cluster = await startCluster({ store, files, clock });
    onTestFinished(async () => cluster[Symbol.asyncDispose]());
    const first = await cluster.service.createFirstAdminInvite();
    const second = await inviteFirstAdministrator(testConfig(store, files), {
      ...store.overrides,
      clock,
    });
    const { login } = await cluster.person();
    await expect(login.getInvite({ token: first?.token ?? '' })).rejects.toThrow(
      'this link is not valid',
    );
    expect(await login.getInvite({ token: second?.token ?? '' })).toMatchObject({
      user: '',
      roles: ['admin', 'access'],
      secondFactor: true,
    });
    const ada = await createAdministrator(cluster);
    expect(await cluster.service.createFirstAdminInvite()).toBeUndefined();
    expect(
      await inviteFirstAdministrator(testConfig(store, files), { ...store.overrides, clock }),
    ).toBeUndefined();
    await logIn(cluster, ada);
  });

  it('keeps its data and its audit events over a restart', async () => {
    const store = await openStore(engine);
    using files = createTestFiles();
    const clock = new TestClock();
    const cluster = await startCluster({ store, files, clock });
    const ada = await createAdministrator(cluster);
    cluster.broker.isAway = true;
    await logIn(cluster, ada);
    await cluster[Symbol.asyncDispose]();
    const again = await startCluster({ store, files, clock });
    onTestFinished(async () => again[Symbol.asyncDispose]());
    expect(await again.events('login.succeeded')).toHaveLength(1);
    const one = await again.events();
    expect(new Set(one.map((event) => event.id)).size).toBe(one.length);
    await logIn(again, ada);
  });
});

describe('the private port', () => {
  it('says that it is ready, and that audit events wait while the log is away', async () => {
    const store = await openStore('pglite');
    const cluster = await startCluster({ store });
    onTestFinished(async () => cluster[Symbol.asyncDispose]());
    const ready = async () =>
      (await (await fetch(`${cluster.service.metricsUrl}/readyz`)).json()) as {
        status: string;
        degraded: string[];
      };
    expect(await ready()).toMatchObject({ status: 'ready', degraded: [] });
    cluster.broker.isAway = true;
    await createAdministrator(cluster);
    await expect
      .poll(ready, { timeout: 15_000 })
      .toMatchObject({ status: 'ready', degraded: ['kafka'] });
    cluster.broker.isAway = false;
    await expect.poll(ready, { timeout: 10_000 }).toMatchObject({ degraded: [] });
    expect(await cluster.events('resource.created')).toHaveLength(1);
  });
});

describe('the migrations', () => {
  it('comment on every table', () => {
    const folder = new URL('../migrations/', import.meta.url);
    const text = readdirSync(folder)
      .map((file) => readFileSync(new URL(file, folder), 'utf8'))
      .join('\n');
    const tables = [...text.matchAll(/create table (\w+)/g)].map((match) => match[1]);
    for (const table of tables) expect(text).toContain(`comment on table ${table} is`);
  });
});

describe('schema.sql', () => {
  it('is what the migrations make', async () => {
    const store = await openStore('postgres');
    const cluster = await startCluster({ store });
    onTestFinished(async () => cluster[Symbol.asyncDispose]());
    const dump = await dumpSchema(store.config?.url ?? '');
    const file = new URL('../schema.sql', import.meta.url);
    if (process.env['UPDATE_SCHEMA'] !== undefined) writeFileSync(file, dump);
    expect(dump).toBe(readFileSync(file, 'utf8'));
  });
});

/** The schema as PostgreSQL 15's own tool writes it, without what differs from run to run. */
async function dumpSchema(url: string): Promise<string> {
  const [version = ''] = readdirSync('/usr/lib/postgresql').toSorted().toReversed();
  const tool = `/usr/lib/postgresql/${version}/bin/pg_dump`;
  const args = ['--schema-only', '--no-owner', '--exclude-table=auth_migration*', url];
  const { stdout } = await promisify(execFile)(tool, args);
  const lines = stdout
    .split('\n')
    .filter((line) => !/^(--|\\(un)?restrict|SET |SELECT pg_catalog)/.test(line));
  return `${lines
    .join('\n')
    .replaceAll(/\n{2,}/g, '\n\n')
    .trim()}\n`;
}

describe('an outage of the database', () => {
  it('ends nothing: calls fail meanwhile and work after, changes reach watchers', async () => {
    const store = await openStore('postgres');
    const cluster = await startCluster({ store });
    onTestFinished(async () => cluster[Symbol.asyncDispose]());
    const ada = await logIn(cluster, await createAdministrator(cluster));
    const proxy = await cluster.enroll('proxy');
    const heard: string[] = [];
    const abort = new AbortController();
    onTestFinished(() => abort.abort());
    const watching = (async () => {
      for await (const { event } of proxy.cluster.watch(
        { kinds: ['role'] },
        { signal: abort.signal },
      )) {
        if (event?.$case === 'change') heard.push(event.value.name);
      }
    })();
    watching.catch(() => undefined);
    await expect.poll(() => heard, { timeout: 15_000 }).toContain('admin');
    await cutConnections(store.database);
    await expect
      .poll(
        async () =>
          ada.login.getSelf({}).then(
            () => 'works',
            () => 'fails',
          ),
        { timeout: 10_000 },
      )
      .toBe('works');
    await ada.admin.applyDocument({
      documentJson: JSON.stringify({
        kind: 'role',
        version: 'v1',
        metadata: { name: 'after' },
        spec: { allow: {} },
      }),
    });
    await expect.poll(() => heard, { timeout: 15_000 }).toContain('after');
  });
});
