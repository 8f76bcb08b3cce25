/** Forward-only migrations: numbered `.sql` files, each run once, under one lock, in order. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { sql, type Kysely } from 'kysely';
import { Migrator, type Migration, type MigrationProvider } from 'kysely/migration';

import { postgresError } from './errors.js';

export interface MigrateOptions {
  /** Directory of the `NNNN_name.sql` files; see {@link migrationsFolder}. */
  readonly folder: string;
  /** The owner's name (`auth`, `audit`): services that share the embedded database keep their records apart by it. */
  readonly name: string;
}

/**
 * Brings the database to the newest migration. Any number of replicas may call it at once.
 * @throws MIGRATION_FAILED when a file failed (it was rolled back), MIGRATION_NAME
 */
export async function migrate<Schema>(
  database: Kysely<Schema>,
  options: MigrateOptions,
): Promise<void> {
  const provider = createFileProvider(options.folder);
  const { migrationTableName, migrationLockTableName } = {
    migrationTableName: `${options.name}_migration`,
    migrationLockTableName: `${options.name}_migration_lock`,
  };
  const migrator = new Migrator({
    db: database,
    provider,
    migrationTableName,
    migrationLockTableName,
  });
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const failed = results?.find((result) => result.status === 'Error')?.migrationName ?? 'unknown';
  throw postgresError('MIGRATION_FAILED', { cause: error, details: { migration: failed } });
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
