/** Forward-only migrations: numbered `.sql` files, each run once, under one lock, in order. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { sql, type Kysely } from 'kysely';
import { Migrator, type Migration, type MigrationProvider } from 'kysely/migration';

import { createDatabase } from './database.js';
import { postgresError } from './errors.js';
import type { DatabaseSettings } from './settings.js';

export interface MigrateOptions {
  /** Directory of the `NNNN_name.sql` files; see {@link migrationsFolder}. */
  readonly folder: string;
  /** The owner's name (`auth`, `audit`): services that share the embedded database keep their records apart by it. */
  readonly name: string;
}

/**
 * Brings the database to the newest migration and, with `grantTo`, gives that role what `grants.sql` beside the folder
 * lists. Any number of replicas may call it at once.
 * @throws MIGRATION_FAILED when a file failed (it was rolled back), MIGRATION_NAME
 */
export async function migrate<Schema>(
  database: Kysely<Schema>,
  options: MigrateOptions & { readonly grantTo?: string | undefined },
): Promise<void> {
  const { error, results } = await createMigrator(database, options).migrateToLatest();
  if (error !== undefined) {
    const failed = results?.find((result) => result.status === 'Error')?.migrationName ?? 'unknown';
    throw postgresError('MIGRATION_FAILED', { cause: error, details: { migration: failed } });
  }
  if (options.grantTo === undefined) return;
  const grants = await readFile(join(dirname(options.folder), 'grants.sql'), 'utf8');
  await sql.raw(grants.replaceAll(':role', `"${options.grantTo}"`)).execute(database);
}

/**
 * That somebody has migrated the database this far; further is fine, since a migration never breaks the release before it.
 * @throws MIGRATION_MISSING
 */
export async function expectMigrated<Schema>(
  database: Kysely<Schema>,
  options: MigrateOptions,
): Promise<void> {
  const names = Object.keys(await createFileProvider(options.folder).getMigrations());
  const done = await readMigrated(database, options);
  const missing = names.filter((name) => !done.has(name));
  if (missing.length === 0) return;
  throw postgresError('MIGRATION_MISSING', {
    details: { migrations: missing.join(', '), service: `${options.name}-service` },
  });
}

/** A migration may write a large table anew, in one statement. */
const statementTimeoutMs = 3_600_000;

export interface PrepareOptions extends MigrateOptions {
  readonly settings: DatabaseSettings;
  /** Of a real server: migrations have connections of their own, whose statements may take an hour. */
  readonly url: string | undefined;
}

/** What a service does with its database before anything else: migrates it, or looks whether somebody has. */
export async function prepareDatabase<Schema>(
  database: Kysely<Schema>,
  { settings, url, ...rest }: PrepareOptions,
): Promise<void> {
  const options = { ...rest, grantTo: settings.grant_to };
  if (settings.migrations === 'expect') await expectMigrated(database, rest);
  else if (url === undefined) await migrate(database, options);
  else {
    const applicationName = `gatehouse ${rest.name} migrate`;
    const patient = createDatabase<Schema>({ url, applicationName, statementTimeoutMs });
    try {
      await migrate(patient, options);
    } finally {
      await patient.destroy();
    }
  }
}

async function readMigrated<Schema>(
  database: Kysely<Schema>,
  { name }: MigrateOptions,
): Promise<Set<string>> {
  const table = `${name}_migration`;
  const exists = await sql<{
    found: boolean;
  }>`select to_regclass(${table}) is not null as found`.execute(database);
  if (exists.rows[0]?.found !== true) return new Set();
  const { rows } = await sql<{ name: string }>`select name from ${sql.id(table)}`.execute(database);
  return new Set(rows.map((row) => row.name));
}

function createMigrator<Schema>(database: Kysely<Schema>, options: MigrateOptions): Migrator {
  return new Migrator({
    db: database,
    provider: createFileProvider(options.folder),
    migrationTableName: `${options.name}_migration`,
    migrationLockTableName: `${options.name}_migration_lock`,
  });
}

/**
 * The `migrations` folder of the package that a module belongs to, from source and from `dist` alike.
 * @param moduleUrl `import.meta.url`
 */
export function migrationsFolder(moduleUrl: string, name = 'migrations'): string {
  let folder = dirname(fileURLToPath(moduleUrl));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder))
    folder = dirname(folder);
  return join(folder, name);
}

function createFileProvider(folder: string): MigrationProvider {
  return {
    async getMigrations() {
      const migrations: Record<string, Migration> = {};
      const numbers = new Set<string>();
      for (const file of (await readdir(folder)).toSorted()) {
        if (!file.endsWith('.sql')) continue;
        const number = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(file)?.[1];
        if (number === undefined || numbers.has(number))
          throw postgresError('MIGRATION_NAME', { details: { file } });
        numbers.add(number);
        const text = await readFile(join(folder, file), 'utf8');
        migrations[file.slice(0, -4)] = {
          up: async (transaction) => void (await sql.raw(text).execute(transaction)),
        };
      }
      return migrations;
    },
  };
}
