/** Two replicas that write at once (D27): ids are taken before the commit, so without a lock they become visible out of order. */
import { createLogger } from '@gatehouse/kit/log';
import { createCoordination, type Coordination } from '@gatehouse/kit/postgres';
import { sql } from 'kysely';
import { expect, it, onTestFinished } from 'vitest';

import type { Db } from '../src/store/store.js';
import type { Tables } from '../src/store/tables.js';
import {
  applyYamlLike,
  createAdministrator,
  createTestFiles,
  createTestStore,
  logIn,
  startCluster,
  TestClock,
  type TestStore,
} from './support.js';

const logger = createLogger({ name: 'test', level: 'silent' });
const lock = (name: string) => ({
  kind: 'lock',
  version: 'v1',
  metadata: { name },
  spec: { target: { user: `nobody-${name}` } },
});

/** The coordination of PostgreSQL, but nobody waits for anybody. */
function withoutLock(database: Db, coordination: Coordination<Tables>): Coordination<Tables> {
  return {
    ...coordination,
    locked: async (_lock, work) =>
      database.transaction().execute(async (transaction) =>
        work({
          transaction,
          notify: async (channel, payload = '') =>
            void (await sql`select pg_notify(${channel}, ${payload})`.execute(transaction)),
        }),
      ),
  };
}

/** Changes that are called slow-… take their id a while before they commit. */
async function slowDown(database: Db): Promise<void> {
  await sql
    .raw(
      `create function wait_a_while() returns trigger language plpgsql as
         $$ begin perform pg_sleep(0.4); return null; end $$;
       create trigger wait_a_while after insert on outbox for each row
         when (new.name like 'slow-%') execute function wait_a_while();`,
    )
    .execute(database);
}

async function startTwo(store: TestStore) {
  const files = createTestFiles();
  onTestFinished(() => files[Symbol.dispose]());
  const clock = new TestClock();
  const clusters = [
    await startCluster({ store, files, clock }),
    await startCluster({ store, files, clock }),
  ] as const;
  onTestFinished(
    async () => void (await Promise.all(clusters.map(async (one) => one[Symbol.asyncDispose]()))),
  );
  return clusters;
}

const rounds = 5;

/** Locks by two writers, the slower one first; which of them watchers of both replicas heard of. */
async function writeInterleaved(isLocked: boolean): Promise<string[][]> {
  const plain = await createTestStore('postgres');
  onTestFinished(async () => plain[Symbol.asyncDispose]());
  const { database } = plain;
  const coordination = createCoordination<Tables>({
    database,
    logger,
    url: plain.config?.url ?? '',
  });
  onTestFinished(async () => coordination[Symbol.asyncDispose]());
  const used = isLocked ? coordination : withoutLock(database, coordination);
  const [one, two] = await startTwo({
    ...plain,
    overrides: { database, coordination: used },
  });
  const person = await createAdministrator(one);
  const [first, second] = [await logIn(one, person), await logIn(two, person)];
  await slowDown(database);
  const heard = await Promise.all(
    [one, two].map(async (cluster) => {
      const names: string[] = [];
      const abort = new AbortController();
      onTestFinished(() => abort.abort());
      const { cluster: client } = await cluster.enroll('proxy');
      const ready = Promise.withResolvers<void>();
      const reading = (async () => {
        const request = { afterId: 0n, kinds: ['lock'] };
        for await (const { event } of client.watch(request, { signal: abort.signal })) {
          if (event?.$case === 'snapshotEnd') ready.resolve();
          if (event?.$case === 'change') names.push(event.value.name);
        }
      })();
      reading.catch(() => undefined);
      await ready.promise;
      return names;
    }),
  );
  for (let round = 0; round < rounds; round += 1) {
    const slow = applyYamlLike(first, lock(`slow-${round}`));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await Promise.all([slow, applyYamlLike(second, lock(`quick-${round}`))]);
  }
  // Watchers look by themselves from time to time, too.
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  return heard;
}

it('lets no watcher miss a lock, whichever of two writers commits first', async () => {
  const heard = await writeInterleaved(true);
  const all = Array.from({ length: rounds }, (_, round) => [`slow-${round}`, `quick-${round}`]);
  for (const names of heard) expect(names.toSorted()).toEqual(all.flat().toSorted());
}, 120_000);

it('would, if writers did not wait for one another (control)', async () => {
  const heard = await writeInterleaved(false);
  expect(heard.flat().some((name) => name.startsWith('quick-'))).toBe(true);
  expect(heard.flat().filter((name) => name.startsWith('slow-')).length).toBeLessThan(2 * rounds);
}, 120_000);
