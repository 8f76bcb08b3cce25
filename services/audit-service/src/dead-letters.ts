/** What can't be decoded or stored: kept on a topic of its own, with where it came from and why (D7). */
import { topics, type EventLog, type LogRecord, type StoredRecord } from '@gatehouse/kit/event-log';
import type { Logger } from '@gatehouse/kit/log';
import type { Counter } from '@gatehouse/kit/telemetry';

/** A dead letter holds at most so much of what it is about; the log takes about a MiB. */
const maxValueBytes = 512 * 1024;
const maxReasonChars = 512;

export class DeadLetters {
  readonly #options: {
    readonly eventLog: EventLog;
    readonly logger: Logger;
    readonly counter: Counter;
  };
  #waiting: LogRecord[] = [];

  constructor(options: { eventLog: EventLog; logger: Logger; counter: Counter }) {
    this.#options = options;
  }

  add(record: StoredRecord, reason: string): void {
    const { topic, partition, position } = record;
    const headers = {
      dead_topic: topic,
      dead_partition: String(partition),
      dead_position: String(position),
      dead_reason: reason.slice(0, maxReasonChars).toWellFormed(),
      dead_bytes: String(record.value.length),
    };
    this.#waiting.push({
      key: record.key,
      headers: { ...record.headers, ...headers },
      value: record.value.subarray(0, maxValueBytes),
    });
    this.#options.logger.warn(
      { topic, partition, position: String(position), reason },
      'dead letter',
    );
  }

  /** Publishes what was added; until it succeeds, the batch that it came from counts as not read. */
  async flush(): Promise<void> {
    const letters = this.#waiting;
    this.#waiting = [];
    for (const letter of letters) {
      await this.#options.eventLog.publish(topics.deadLetters, [letter]);
      this.#options.counter.add(1, { topic: letter.headers['dead_topic'] ?? '' });
    }
  }
}
