/** What can't be decoded or stored: kept on a topic of its own, with where it came from and why (D7). */
import { topics, type LogRecord, type StoredRecord } from '@gatehouse/kit/event-log';

import type { Deps } from './deps.js';

/** A dead letter holds at most so much of what it is about; the log takes about a MiB. */
const maxValueBytes = 512 * 1024;
const maxReasonChars = 512;

/** A record of a batch that goes to the dead letters, and why. */
export interface DeadLetter {
  readonly record: StoredRecord;
  readonly reason: string;
}

/**
 * Publishes the dead letters of a batch. It is the last step of a batch: one that fails before it is read again whole,
 * and would say the same once more.
 */
export async function publishDeadLetters(
  { eventLog, logger, metrics }: Pick<Deps, 'eventLog' | 'logger' | 'metrics'>,
  letters: readonly DeadLetter[],
): Promise<void> {
  for (const letter of letters) {
    const { topic, partition, position } = letter.record;
    const where = { topic, partition, position: String(position) };
    logger.warn({ ...where, reason: letter.reason }, 'dead letter');
    await eventLog.publish(topics.deadLetters, [toRecord(letter)]);
    metrics.deadLetters.add(1, { topic });
  }
}

function toRecord({ record, reason }: DeadLetter): LogRecord {
  const headers = {
    dead_topic: record.topic,
    dead_partition: String(record.partition),
    dead_position: String(record.position),
    dead_reason: reason.slice(0, maxReasonChars).toWellFormed(),
    dead_bytes: String(record.value.length),
  };
  return {
    key: record.key,
    headers: { ...record.headers, ...headers },
    value: record.value.subarray(0, maxValueBytes),
  };
}
