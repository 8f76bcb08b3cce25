/** A database in memory for tests: PGlite behind a socket, reached as in production. */
import { existsSync, openAsBlob } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
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
  const engine = await createEngine();
  stack.defer(async () => engine.close());
  const socketPath = join(folder, '.s.PGSQL.5432');
  stack.use(await serveEmbedded({ engine, path: socketPath, maxConnections: 100 }));
  const database = createDatabase<Schema>({ socketPath });
  stack.defer(async () => database.destroy());
  const owned = stack.move();
  return { database, socketPath, [Symbol.asyncDispose]: async () => owned.disposeAsync() };
}

const cacheDir = join(import.meta.dirname, '../../../../.cache');
const templateFile = join(cacheDir, 'test-database.tar');

/** Making a database takes several times as long as unpacking one: the first test keeps what it made for the others. */
async function createEngine(): Promise<PGlite> {
  if (existsSync(templateFile))
    return PGlite.create({ loadDataDir: await openAsBlob(templateFile) });
  const engine = await PGlite.create();
  const template = await engine.dumpDataDir('none');
  await mkdir(cacheDir, { recursive: true });
  await writeFile(`${templateFile}.${process.pid}`, Buffer.from(await template.arrayBuffer()));
  await rename(`${templateFile}.${process.pid}`, templateFile);
  return engine;
}
