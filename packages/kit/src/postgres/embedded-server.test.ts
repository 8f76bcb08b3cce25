import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { PGlite } from '@electric-sql/pglite';
import { sql, type Kysely } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { createDatabase } from './database.js';
import { serveEmbedded } from './embedded-server.js';

let stack: AsyncDisposableStack;
let one: Kysely<object>;
let two: Kysely<object>;
let folder: string;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), 'gatehouse-pglite-'));
  stack.defer(async () => rm(folder, { recursive: true, force: true }));
  const engine = await PGlite.create();
  stack.defer(async () => engine.close());
  const path = join(folder, '.s.PGSQL.5432');
  stack.use(await serveEmbedded({ engine, path, maxConnections: 20, idleHoldMs: 1000 }));
  one = createDatabase<object>({ socketPath: path });
  two = createDatabase<object>({ socketPath: path });
  stack.defer(async () => one.destroy());
  stack.defer(async () => two.destroy());
  await sql`create table held (id int primary key)`.execute(one);
  await sql`insert into held values (1)`.execute(one);
}, 180_000);
afterAll(async () => stack.disposeAsync());

// Messages of two connections that mix make a query answer for another one, or with no rows at all.
it('keeps statements of different connections apart while others fail', async () => {
  const outcomes = { failed: 0, wrong: 0 };
  const ask = async (index: number) => {
    const database = index % 2 === 0 ? one : two;
    if (index % 3 === 0) {
      await sql`insert into held values (${1})`
        .execute(database)
        .catch(() => (outcomes.failed += 1));
      return;
    }
    const text = `row ${index}`;
    const rows =
      index % 3 === 1
        ? await sql<{ text: string }>`select ${text}::text as text`.execute(database)
        : await database
            .transaction()
            .execute(async (tx) => sql<{ text: string }>`select ${text}::text as text`.execute(tx));
    if (rows.rows[0]?.text !== text) outcomes.wrong += 1;
  };
  await Promise.all(Array.from({ length: 240 }, async (_, index) => ask(index)));
  expect(outcomes).toEqual({ failed: 80, wrong: 0 });
});

it('lets nobody into the transaction of another connection', async () => {
  const seen: number[] = [];
  await Promise.all([
    one.transaction().execute(async (tx) => {
      await sql`insert into held values (2)`.execute(tx);
      await new Promise((resolve) => setTimeout(resolve, 50));
      seen.push(1);
      await sql`delete from held where id = 2`.execute(tx);
    }),
    (async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      const rows = await sql`select id from held where id = 2`.execute(two);
      seen.push(2, rows.rows.length);
    })(),
  ]);
  expect(seen).toEqual([1, 2, 0]);
});

it('rolls back what a connection leaves behind and serves the others', async () => {
  const client = new pg.Client({
    host: folder,
    port: 5432,
    user: 'postgres',
    database: 'postgres',
  });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('begin');
  await client.query('insert into held values (3)');
  (
    client as unknown as { connection: { stream: { destroy(): void } } }
  ).connection.stream.destroy();
  const rows = await sql`select id from held where id = 3`.execute(two);
  expect(rows.rows).toEqual([]);
});

// Everybody waits for whoever has a transaction open: one that falls silent would stop all services.
it('closes a connection that keeps a transaction open and falls silent', async () => {
  const client = new pg.Client({
    host: folder,
    port: 5432,
    user: 'postgres',
    database: 'postgres',
  });
  client.on('error', () => undefined);
  const closed = new Promise((resolve) => client.once('end', resolve));
  await client.connect();
  await client.query('begin');
  await client.query('insert into held values (77)');
  const start = performance.now();
  // Others who come one after another while they wait do not give the silent one more time.
  let hasAnswered = false;
  const ask = async (index: number) => {
    const { rows } = await sql<{ id: number }>`select id from held where id = 77`.execute(
      index % 2 === 0 ? one : two,
    );
    hasAnswered = true;
    return rows;
  };
  const others = [ask(0)];
  while (!hasAnswered && performance.now() - start < 10_000) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    others.push(ask(others.length));
  }
  expect(hasAnswered).toBe(true);
  expect((await Promise.all(others)).flat()).toEqual([]);
  expect(performance.now() - start).toBeGreaterThan(500);
  await closed;
});
