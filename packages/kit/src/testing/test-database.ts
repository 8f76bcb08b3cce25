/** A database in memory for tests: PGlite behind a socket, reached as in production. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { PGlite } from '@electric-sql/pglite';
import type { Kysely } from 'kysely';

import { createDatabase, serveEmbedded } from '../postgres/postgres.js';

export interface TestDatabase<Schema> extends AsyncDisposable {
  readonly database: Kysely<Schema>;
  /** For a service's `createDatabase({ socketPath })`. */
  readonly socketPath: string;
}

/** Starts an empty database of its own (1.6–4 s); disposing it leaves nothing behind. */
export async function createTestDatabase<Schema>(): Promise<TestDatabase<Schema>> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-db-'));
  stack.defer(async () => rm(folder, { recursive: true, force: true }));
  const engine = await PGlite.create();
  stack.defer(async () => engine.close());
  const socketPath = join(folder, '.s.PGSQL.5432');
  stack.use(await serveEmbedded({ engine, path: socketPath, maxConnections: 100 }));
  const database = createDatabase<Schema>({ socketPath });
  stack.defer(async () => database.destroy());
  const owned = stack.move();
  return { database, socketPath, [Symbol.asyncDispose]: async () => owned.disposeAsync() };
}
