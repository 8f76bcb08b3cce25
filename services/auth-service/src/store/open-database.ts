/** The database of a configuration, or one that the caller has opened. */
import type { Secret } from '@gatehouse/kit/config';
import type { Logger } from '@gatehouse/kit/log';
import {
  createCoordination,
  createDatabase,
  databaseAddress,
  type Coordination,
} from '@gatehouse/kit/postgres';

import type { AuthConfig } from '../config.js';
import type { Db } from './store.js';
import type { Tables } from './tables.js';

export interface OpenOptions {
  readonly logger: Logger;
  readonly stack: AsyncDisposableStack;
  readonly database?: Db;
  readonly coordination?: Coordination<Tables>;
  readonly databaseUrl?: Secret;
}

/** What is opened here is closed with the stack; `url` is of a real server. @throws DATABASE_SETTINGS where nothing is configured */
export function openDatabase(
  config: AuthConfig['database'],
  options: OpenOptions,
): { database: Db; coordination: Coordination<Tables>; url: string | undefined } {
  const { logger, stack } = options;
  const where = databaseAddress(config, options.databaseUrl);
  const url = options.database === undefined ? where.url : undefined;
  const opened =
    options.database ??
    createDatabase<Tables>({ ...where, applicationName: 'gatehouse auth', logger });
  if (options.database === undefined) stack.defer(async () => opened.destroy());
  const coordination =
    options.coordination ??
    createCoordination<Tables>({ database: opened, logger, ...(url === undefined ? {} : { url }) });
  if (options.coordination === undefined) stack.use(coordination);
  return { database: opened, coordination, url };
}
