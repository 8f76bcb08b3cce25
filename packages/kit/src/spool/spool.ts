import { spoolError } from './errors.js';
import type { Spool, SpoolOptions } from './types.js';

export { spoolErrors } from './errors.js';
export type {
  JournalEvent,
  LaneState,
  LooseEvent,
  SessionHeader,
  SessionJournal,
  Spool,
  SpoolLimits,
  SpoolOptions,
  SpoolState,
} from './types.js';

/** Opens the spool of a directory and recovers what an earlier owner left. @throws SPOOL_IN_USE */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  await Promise.resolve();
  throw spoolError('SPOOL_CLOSED', { details: { dir: options.dir } });
}
