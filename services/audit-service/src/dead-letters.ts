/**
 * What can't be decoded or stored: kept on a topic of its own, with where it came from and why (D7), and noted in the
 * database, from which people list it and put it back on its topic once what refused it is mended.
 */
import {
  maxBatchBytes,
  maxBatchRecords,
  topics,
  type AuditActor,
  type LogRecord,
  type StoredRecord,
} from '@gatehouse/kit/event-log';

import type { Deps } from './deps.js';
import { auditError } from './errors.js';
import {
  findDeadLetter,
  findDeadLetterIds,
  insertDeadLetters,
  markReplayed,
  type DeadLetterRow,
} from './store/dead-letters.js';

/** A dead letter holds at most so much of what it is about; the log takes about a MiB. */
const maxValueBytes = 512 * 1024;
/** Of longer key and headers a letter has none: with the value they may be as long as the log takes, and a letter's own come on top. */
const maxHeadBytes = 64 * 1024;
const maxReasonChars = 512;

/** A record of a batch that goes to the dead letters, and why. */
export interface DeadLetter {
  readonly record: StoredRecord;
  readonly reason: string;
}

type LetterDeps = Pick<Deps, 'clock' | 'database' | 'eventLog' | 'logger' | 'metrics'>;

/**
 * Publishes and notes the dead letters of a batch, each once. It is the last step of a batch: one that fails before it
 * is read again whole, and would say the same once more.
 */
export async function publishDeadLetters(
  deps: LetterDeps,
  letters: readonly DeadLetter[],
): Promise<void> {
  const known = await findDeadLetterIds(
    deps.database,
    letters.map(({ record }) => idOf(record)),
  );
  const fresh = letters.filter(({ record }) => !known.has(idOf(record)));
  for (const part of split(fresh.map((letter, index) => prepare(deps, letter, index)))) {
    await deps.eventLog.publish(
      topics.deadLetters,
      part.map(({ record }) => record),
    );
    for (const { row } of part) deps.metrics.deadLetters.add(1, { topic: row.topic });
    await insertDeadLetters(
      deps.database,
      part.map(({ row }) => row),
    );
  }
}

interface Prepared {
  readonly record: LogRecord;
  readonly row: Parameters<typeof insertDeadLetters>[1][number];
}

/** @param index a millisecond apart, so that lists keep the order of a batch */
function prepare({ clock, logger }: LetterDeps, letter: DeadLetter, index: number): Prepared {
  const { topic, partition, position } = letter.record;
  logger.warn(
    { topic, partition, position: String(position), reason: letter.reason },
    'dead letter',
  );
  const { key, headers, value, bytes } = cut(letter.record);
  return {
    record: { key, headers: { ...headers, ...describe(letter, bytes) }, value },
    row: {
      id: idOf(letter.record),
      topic,
      partition,
      topic_position: Number(position),
      reason: storable(letter.reason.slice(0, maxReasonChars)),
      key: storable(key),
      headers: storable(JSON.stringify(headers)),
      value,
      value_bytes: bytes,
      dead_at: new Date(clock.now() + index),
    },
  };
}

/** Whoever writes garbage by the thousand must not make each cost a send: events wait behind them. */
function split(letters: readonly Prepared[]): Prepared[][] {
  const parts: Prepared[][] = [];
  let room = 0;
  for (const letter of letters) {
    const { key, headers, value } = letter.record;
    const size = value.length + Buffer.byteLength(key + JSON.stringify(headers));
    if (size > room || parts.at(-1)?.length === maxBatchRecords) {
      parts.push([]);
      room = maxBatchBytes;
    }
    room -= size;
    parts.at(-1)?.push(letter);
  }
  return parts;
}

/**
 * Puts one back on its topic, as it was, once `audit` has written that somebody does. What still refuses it makes a new dead letter of it.
 * @throws DEAD_LETTER_UNKNOWN, DEAD_LETTER_CUT
 */
export async function replayDeadLetter(
  { clock, database, eventLog }: Pick<Deps, 'clock' | 'database' | 'eventLog'>,
  id: string,
  by: { readonly actor: AuditActor; readonly audit: () => Promise<void> },
): Promise<void> {
  const row = await findDeadLetter(database, id);
  if (row === undefined)
    throw auditError('DEAD_LETTER_UNKNOWN', { details: { id: id.slice(0, 256) } });
  if (row.value.length < row.value_bytes) throw auditError('DEAD_LETTER_CUT', { details: { id } });
  await by.audit();
  const { key, headers, value } = toStoredRecord(row);
  await eventLog.publish(row.topic, [{ key, headers, value }]);
  await markReplayed(database, id, { name: by.actor.name, at: new Date(clock.now()) });
}

/** The record that it was made of; of a long value only the beginning. */
export function toStoredRecord(row: DeadLetterRow): StoredRecord {
  const { topic, partition, topic_position: position, key, value } = row;
  return { topic, partition, position: BigInt(position), key, headers: parseHeaders(row), value };
}

/** Where it lay: a record is dead once, however often its batch is read. */
function idOf({ topic, partition, position }: StoredRecord): string {
  return `${topic}/${partition}/${position}`;
}

/** What the database takes as text; the value itself is kept byte by byte. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}

function parseHeaders({ headers }: DeadLetterRow): Record<string, string> {
  const value: unknown = JSON.parse(headers);
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, String(text)]));
}

interface CutRecord extends LogRecord {
  /** Of the whole: more than there are in `value` where something was cut. */
  readonly bytes: number;
}

/** As much of a record as a dead letter holds. */
function cut({ key, headers, value }: StoredRecord): CutRecord {
  const headBytes = Buffer.byteLength(key) + Buffer.byteLength(JSON.stringify(headers));
  const kept = { key, headers, value: value.subarray(0, maxValueBytes), bytes: value.length };
  return headBytes <= maxHeadBytes
    ? kept
    : { ...kept, key: '', headers: {}, bytes: value.length + headBytes };
}

function describe({ record, reason }: DeadLetter, bytes: number): LogRecord['headers'] {
  return {
    dead_topic: record.topic,
    dead_partition: String(record.partition),
    dead_position: String(record.position),
    dead_reason: reason.slice(0, maxReasonChars).toWellFormed(),
    dead_bytes: String(bytes),
  };
}
