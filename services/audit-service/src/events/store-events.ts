import { toGatehouseError } from '@gatehouse/kit/errors';
/**
 * The way of an event into the store: decode → bound → insert once → tell those who tail. What can't be decoded or
 * stored goes to the dead letters with a reason, and never holds up what comes behind it.
 */
import {
  boundEvent,
  decodeAuditRecord,
  type AuditEvent,
  type StoredRecord,
} from '@gatehouse/kit/event-log';
import type { Coordination } from '@gatehouse/kit/postgres';
import type { Kysely } from 'kysely';

import { publishDeadLetters, type DeadLetter } from '../dead-letters.js';
import type { Deps } from '../deps.js';
import { noteRecordingEnds } from '../recordings/note-end.js';
import { findEventIds, insertEvents, newestPosition, type StorableEvent } from '../store/events.js';
import { isFaultOfData, sqlState } from '../store/faults.js';
import type { Tables } from '../store/tables.js';

/** Held while events are stored, by any replica: positions become visible in their order. */
const storeLock = 'audit store';
/** Told the newest position after each batch. */
export const storeChannel = 'audit_stored';

type StoreDeps = Pick<Deps, 'clock' | 'coordination' | 'logger' | 'metrics'>;
type BatchDeps = StoreDeps & Pick<Deps, 'eventLog' | 'manifests'>;

/** A batch of the audit topic. */
export async function storeEventBatch(
  deps: BatchDeps,
  records: readonly StoredRecord[],
): Promise<void> {
  const letters: DeadLetter[] = [];
  const events = decodeBatch(records, letters);
  const refused = await storeEvents(deps, [...events.keys()]);
  for (const [event, reason] of refused) {
    const record = events.get(event);
    if (record !== undefined) letters.push({ record, reason });
  }
  for (const { event } of events.keys()) {
    const { recordingId } = event.data;
    if (event.type === 'recording.completed' && typeof recordingId === 'string')
      await deps.manifests.write(recordingId);
  }
  await publishDeadLetters(deps, letters);
}

/**
 * Stores events once.
 * @returns those that can't be stored, with the reason
 */
export async function storeEvents(
  deps: StoreDeps,
  events: readonly StorableEvent[],
): Promise<Map<StorableEvent, string>> {
  try {
    return await storeTogether(deps, events);
  } catch (thrown) {
    if (!isFaultOfData(thrown)) throw thrown;
    if (events.length === 1) return new Map(events.map((event) => [event, reasonOf(thrown)]));
  }
  // One of them can't be stored; one by one the others can.
  const refused = new Map<StorableEvent, string>();
  for (const event of events)
    for (const [one, reason] of await storeEvents(deps, [event])) refused.set(one, reason);
  return refused;
}

function decodeBatch(
  records: readonly StoredRecord[],
  letters: DeadLetter[],
): Map<StorableEvent, StoredRecord> {
  const events = new Map<StorableEvent, StoredRecord>();
  for (const record of records) {
    try {
      const version = record.headers['ce_specversion'];
      if (version !== undefined && version !== '1.0')
        letters.push({ record, reason: `version: CloudEvents ${version.slice(0, 64)}` });
      else events.set(boundEvent(decodeAuditRecord(record)), record);
    } catch (thrown) {
      const error = toGatehouseError(thrown);
      letters.push({ record, reason: `${error.reason ?? 'unknown'}: ${error.message}` });
    }
  }
  return events;
}

async function storeTogether(
  deps: StoreDeps,
  events: readonly StorableEvent[],
): Promise<Map<StorableEvent, string>> {
  const unique = [...new Map(events.map((one) => [one.event.id, one])).values()];
  if (unique.length === 0) return new Map();
  return deps.coordination.locked(storeLock, async ({ transaction, notify }) => {
    const inserted = await insertEvents(transaction, unique, new Date(deps.clock.now()));
    const others = unique.filter(({ event }) => !inserted.has(event.id));
    const known = await findEventIds(
      transaction,
      others.map(({ event }) => event.id),
    );
    await noteRecordingEnds(
      transaction,
      unique.flatMap(({ event }) => (inserted.has(event.id) ? [event] : [])),
    );
    await tell(notify, transaction, inserted.size);
    count(deps, { stored: inserted.size, repeated: known.size + events.length - unique.length });
    return new Map(
      others.flatMap((one) => (known.has(one.event.id) ? [] : [[one, describeClash(one.event)]])),
    );
  });
}

async function tell(
  notify: Parameters<Parameters<Coordination<Tables>['locked']>[1]>[0]['notify'],
  transaction: Kysely<Tables>,
  stored: number,
): Promise<void> {
  if (stored > 0) await notify(storeChannel, String(await newestPosition(transaction)));
}

function count(deps: StoreDeps, { stored, repeated }: { stored: number; repeated: number }): void {
  deps.metrics.stored.add(stored);
  deps.metrics.repeated.add(repeated);
  if (repeated > 0) deps.logger.info({ repeated }, 'events received again');
}

function describeClash({ sessionId, sequence }: AuditEvent): string {
  return `sequence: number ${sequence} of ${sessionId} is taken by another event`;
}

/** SQLSTATE classes that say that the values are at fault: data exception, integrity, limits. */
function reasonOf(thrown: unknown): string {
  return `store: ${sqlState(thrown)} ${thrown instanceof Error ? thrown.message.slice(0, 200) : ''}`;
}
