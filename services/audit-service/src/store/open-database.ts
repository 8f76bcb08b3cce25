/** The database of a configuration, migrated. */
import { readSecretFile, type Secret } from '@gatehouse/kit/config';
import type { Logger } from '@gatehouse/kit/log';
import {
  createCoordination,
  createDatabase,
  migrate,
  migrationsFolder,
  type Coordination,
} from '@gatehouse/kit/postgres';

import type { AuditConfig } from '../config.js';
import type { Db, Tables } from './tables.js';

export interface OpenOptions {
  readonly logger: Logger;
  /** Closes what is opened here. */
  readonly stack: AsyncDisposableStack;
  /** In place of `database.url`: may hold a password. */
  readonly databaseUrl?: Secret | undefined;
}

/** @throws MIGRATION_FAILED, or why the database can't be reached */
export async function openDatabase(
  config: AuditConfig['database'],
  { logger, stack, databaseUrl }: OpenOptions,
): Promise<{ database: Db; coordination: Coordination<Tables> }> {
  const url = databaseUrl?.reveal() ?? completeUrl(config);
  const where = url === undefined ? { socketPath: config.socket ?? '' } : { url };
  const database = createDatabase<Tables>({ ...where, applicationName: 'gatehouse audit', logger });
  stack.defer(async () => database.destroy());
  await migrate(database, { folder: migrationsFolder(import.meta.url), name: 'audit' });
  const coordination = stack.use(
    createCoordination<Tables>({ database, logger, ...(url === undefined ? {} : { url }) }),
  );
  return { database, coordination };
}

function completeUrl({
  url,
  password_file: passwordFile,
}: AuditConfig['database']): string | undefined {
  if (url === undefined || passwordFile === undefined) return url;
  const complete = new URL(url);
  complete.password = encodeURIComponent(readSecretFile(passwordFile).reveal());
  return complete.toString();
}
