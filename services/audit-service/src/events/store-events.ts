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
import type { Kysely } from 'kysely';

import { publishDeadLetters, type DeadLetter } from '../dead-letters.js';
import type { Deps } from '../deps.js';
import { noteRecordingEnds } from '../recordings/note-end.js';
import {
  findEventIds,
  findTakenSequences,
  insertEvents,
  sequenceKey,
  type StorableEvent,
} from '../store/events.js';
import { isFaultOfData, sqlState } from '../store/faults.js';
import { noteSessions } from '../store/open-sessions.js';
import type { Tables } from '../store/tables.js';

/** Held while events are stored, by any replica: positions become visible in their order. */
export const storeLock = 'audit store';
/** Told the newest position after each batch. */
export const storeChannel = 'audit_stored';

type StoreDeps = Pick<Deps, 'clock' | 'coordination' | 'days' | 'logger' | 'metrics'>;
type BatchDeps = StoreDeps & Pick<Deps, 'database' | 'eventLog' | 'manifests'>;

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
      if (version !== undefined && version !== '1.0') {
        letters.push({ record, reason: `version: CloudEvents ${version.slice(0, 64)}` });
        continue;
      }
      const event = decodeAuditRecord(record);
      const type = record.headers['ce_type'];
      if (type !== undefined && type !== `com.gatehouse.${event.type}`)
        letters.push({ record, reason: `type: CloudEvents ${type.slice(0, 128)}` });
      else events.set(boundEvent(event), record);
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
  const all = unique.map(({ event }) => event);
  const { refused, stored, made } = await deps.coordination.locked(
    storeLock,
    async ({ transaction, notify }) => {
      const days = await deps.days.makeFor(transaction, all);
      const known = await findEventIds(transaction, all);
      const fresh = unique.filter(({ event }) => !known.has(event.id));
      const { storable, clashing } = await splitClashing(transaction, fresh);
      if (storable.length > 0) {
        const newest = await insertEvents(transaction, storable, new Date(deps.clock.now()));
        const events = storable.map(({ event }) => event);
        await noteRecordingEnds(transaction, events);
        await noteSessions(transaction, events);
        await notify(storeChannel, String(newest));
      }
      return { refused: clashing, stored: storable.length, made: days };
    },
  );
  deps.days.noteMade(made);
  count(deps, { stored, repeated: events.length - stored - refused.length });
  return new Map(refused.map((one) => [one, describeClash(one.event)]));
}

/** A place within a session holds one event; the first one that comes has it. */
async function splitClashing(
  transaction: Kysely<Tables>,
  events: readonly StorableEvent[],
): Promise<{ storable: StorableEvent[]; clashing: StorableEvent[] }> {
  const taken = await findTakenSequences(
    transaction,
    events.map(({ event }) => event),
  );
  const storable: StorableEvent[] = [];
  const clashing: StorableEvent[] = [];
  for (const one of events) {
    const key = sequenceKey(one.event);
    if (key !== undefined && taken.has(key)) clashing.push(one);
    else storable.push(one);
    if (key !== undefined) taken.add(key);
  }
  return { storable, clashing };
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
