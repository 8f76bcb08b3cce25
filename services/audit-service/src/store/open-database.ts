/** The database of a configuration, migrated. */
import type { Secret } from '@gatehouse/kit/config';
import type { Logger } from '@gatehouse/kit/log';
import {
  createCoordination,
  createDatabase,
  databaseAddress,
  migrationsFolder,
  prepareDatabase,
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

/** @throws MIGRATION_FAILED, MIGRATION_MISSING, or why the database can't be reached */
export async function openDatabase(
  config: AuditConfig['database'],
  { logger, stack, databaseUrl }: OpenOptions,
): Promise<{ database: Db; coordination: Coordination<Tables> }> {
  const where = databaseAddress(config, databaseUrl);
  const database = createDatabase<Tables>({ ...where, applicationName: 'gatehouse audit', logger });
  stack.defer(async () => database.destroy());
  const folder = migrationsFolder(import.meta.url);
  const { url } = where;
  await prepareDatabase(database, { folder, name: 'audit', settings: config, url });
  const coordination = stack.use(
    createCoordination<Tables>({ database, logger, ...(url === undefined ? {} : { url }) }),
  );
  return { database, coordination };
}
