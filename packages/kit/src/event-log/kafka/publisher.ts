/** The writing half: one producer, made anew after each failure that is not about the records themselves. */
import type { Kafka, Message, Producer } from 'kafkajs';

import { runInBackground } from '../../lifecycle/lifecycle.js';
import type { Logger } from '../../log/log.js';
import { eventLogError } from '../errors.js';
import type { LogRecord } from '../types.js';
import { toEventLogError } from './failure.js';
import { rememberingPartitioner } from './partitioner.js';

/** All replicas that are in step have it. */
const allInSync = -1;
const acknowledgeTimeoutMs = 10_000;

export class Publisher implements AsyncDisposable {
  readonly #kafka: Kafka;
  readonly #logger: Logger;
  #producer: Promise<Producer> | undefined;
  #isClosed = false;

  constructor(kafka: Kafka, logger: Logger) {
    this.#kafka = kafka;
    this.#logger = logger;
  }

  /** @throws EVENT_LOG_TOO_LARGE, EVENT_LOG_UNAVAILABLE, EVENT_LOG_CLOSED */
  async publish(topic: string, records: readonly LogRecord[]): Promise<void> {
    if (this.#isClosed) throw eventLogError('EVENT_LOG_CLOSED');
    if (records.length === 0) return;
    this.#producer ??= this.#connect();
    const used = this.#producer;
    try {
      const producer = await used;
      await producer.send({
        topic,
        acks: allInSync,
        timeout: acknowledgeTimeoutMs,
        messages: records.map(toMessage),
      });
    } catch (thrown) {
      const error = toEventLogError(thrown);
      if (error.code !== 'EVENT_LOG_TOO_LARGE') this.#giveUp(used);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const producer = await this.#producer?.catch(() => undefined);
    await producer?.disconnect().catch(() => undefined);
  }

  async #connect(): Promise<Producer> {
    const producer = this.#kafka.producer({
      createPartitioner: rememberingPartitioner,
      allowAutoTopicCreation: false,
      idempotent: false,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    return producer;
  }

  /** A producer that failed may be beyond repair; the next send makes another one. */
  #giveUp(used: Promise<Producer>): void {
    if (this.#producer !== used) return;
    this.#producer = undefined;
    runInBackground(
      async () => {
        const producer = await used.catch(() => undefined);
        await producer?.disconnect();
      },
      this.#logger,
      'producer could not be closed',
    );
  }
}

function toMessage({ key, headers, value }: LogRecord): Message {
  return { key, value, headers: { ...headers } };
}
