/**
 * The way of an event into the store: decode → bound → insert once → tell those who tail. What can't be decoded or
 * stored goes to the dead letters with a reason, and never holds up what comes behind it.
 */
import type { AuditEvent, StoredRecord } from '@gatehouse/kit/event-log';

import { publishDeadLetters, type DeadLetter } from '../dead-letters.js';
import type { Deps } from '../deps.js';
import { noteRecordingEnds } from '../recordings/note-end.js';
import {
  findTaken,
  insertEvents,
  sequenceKey,
  type Taken,
  type StorableEvent,
} from '../store/events.js';
import { isFaultOfData, sqlState } from '../store/faults.js';
import { noteSessions } from '../store/open-sessions.js';
import { decodeRecords } from './decode-records.js';

/** Held while events are stored, by any replica: positions become visible in their order. */
export const storeLock = 'audit store';
/** Told the newest position after each batch. */
export const storeChannel = 'audit_stored';

type StoreDeps = Pick<Deps, 'clock' | 'coordination' | 'days' | 'logger' | 'metrics'>;
export type BatchDeps = StoreDeps & Pick<Deps, 'database' | 'eventTypes' | 'manifests'>;

/** A batch of the audit topic. */
export async function storeEventBatch(
  deps: BatchDeps & Pick<Deps, 'eventLog'>,
  records: readonly StoredRecord[],
): Promise<void> {
  await publishDeadLetters(deps, await storeRecords(deps, records));
}

/**
 * Stores the events of records once.
 * @returns those that can't be decoded or stored, with the reason
 */
export async function storeRecords(
  deps: BatchDeps,
  records: readonly StoredRecord[],
): Promise<DeadLetter[]> {
  const { events, letters } = await decodeRecords(records, deps.eventTypes);
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
  return letters;
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
      const { storable, clashing } = split(unique, await findTaken(transaction, all));
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

/** What is not stored yet. A place within a session holds one event; the first one that comes has it. */
function split(
  events: readonly StorableEvent[],
  { ids, places }: Taken,
): { storable: StorableEvent[]; clashing: StorableEvent[] } {
  const storable: StorableEvent[] = [];
  const clashing: StorableEvent[] = [];
  for (const one of events) {
    if (ids.has(one.event.id)) continue;
    const key = sequenceKey(one.event);
    if (key !== undefined && places.has(key)) clashing.push(one);
    else storable.push(one);
    if (key !== undefined) places.add(key);
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
