/**
 * The reading half: one member of a consumer group. It joins, hands out batches, commits what was taken, and joins again
 * after whatever ends it: the client's own restarts are off, because after some errors it stops in silence.
 */
import type { Consumer, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs';

import { backoffMs, sleep, type Clock } from '../../clock/clock.js';
import { runInBackground, withDeadline } from '../../lifecycle/lifecycle.js';
import type { Logger } from '../../log/log.js';
import type { ReadLag, StoredRecord, SubscribeOptions } from '../types.js';
import { Lag } from './lag.js';

/** A batch handed to a reader holds about so many bytes, and at least one record. */
const maxReadBytes = 2 * 1024 * 1024;
/** And so many records: a store's work for a batch is paid by few. */
const maxReadRecords = 2_000;
/**
 * Of one answer, in which a single batch that is larger comes whole. Nothing is asked for until all of it is taken, so it should
 * be of many partitions.
 */
const maxAnswerBytes = { all: 8 * 1024 * 1024, partition: 1024 * 1024 };
/** While one batch waits for its store, the next one is read and decoded. */
const mostPartitionsAtOnce = 3;
/** How long a broker holds a question for which there is nothing new: a stop waits as long. */
const maxWaitMs = 250;
const sessionTimeoutMs = 15_000;
const heartbeatMs = 1_500;
/** Without a sign of the group for so long the member begins anew. */
const silentAfterMs = 60_000;
const disconnectTimeoutMs = 5_000;

/** Groups of different topics must not be one group: the members would share out topics that some do not read. */
export function groupIdOf(topic: string, group: string): string {
  return `${group}.${topic}`;
}

export interface MemberOptions extends SubscribeOptions {
  readonly kafka: Kafka;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Member implements AsyncDisposable {
  readonly #options: MemberOptions;
  readonly #closing = new AbortController();
  readonly #stopped: Promise<void>;
  #lastSignMs: number;
  #hasCrashed = false;
  readonly #lag: Lag;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#lag = new Lag(options.clock);
    this.#lastSignMs = options.clock.monotonic();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stopped = promise;
    runInBackground(
      async () => this.#run().finally(resolve),
      options.logger,
      'event log subscription stopped',
    );
  }

  get isFailing(): boolean {
    return this.#hasCrashed || this.#silentMs() > sessionTimeoutMs;
  }

  get lag(): ReadLag {
    return this.#lag.read();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the subscription is closed'));
    await this.#stopped;
  }

  async #run(): Promise<void> {
    const { logger, topic, group } = this.#options;
    const { signal } = this.#closing;
    let attempt = 0;
    while (!signal.aborted) {
      const startedMs = this.#options.clock.monotonic();
      try {
        await this.#readUntilItEnds();
      } catch (thrown) {
        if (signal.aborted) return;
        this.#hasCrashed = true;
        logger.warn({ err: thrown, topic, group }, 'event log reader begins anew');
      }
      if (this.#options.clock.monotonic() - startedMs > sessionTimeoutMs) attempt = 0;
      await sleep(100 + backoffMs(attempt, { baseMs: 200, capMs: 5_000 }), signal).catch(
        () => undefined,
      );
      attempt += 1;
    }
  }

  /** Reads as one consumer. @throws what ended it */
  async #readUntilItEnds(): Promise<void> {
    const { kafka, topic, group, logger } = this.#options;
    const { signal } = this.#closing;
    const consumer = kafka.consumer({
      groupId: groupIdOf(topic, group),
      sessionTimeout: sessionTimeoutMs,
      heartbeatInterval: heartbeatMs,
      maxWaitTimeInMs: maxWaitMs,
      maxBytesPerPartition: maxAnswerBytes.partition,
      maxBytes: maxAnswerBytes.all,
      allowAutoTopicCreation: false,
      retry: { retries: 5, restartOnFailure: async () => Promise.resolve(false) },
    });
    const ended = Promise.withResolvers<void>();
    ended.promise.catch(() => undefined);
    const onAbort = () => ended.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    const watchdog = setInterval(() => {
      if (this.#silentMs() > silentAfterMs) ended.reject(new Error('the group is silent'));
    }, heartbeatMs);
    this.#listen(consumer, ended.reject);
    try {
      this.#lastSignMs = this.#options.clock.monotonic();
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: true });
      await consumer.run({
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: mostPartitionsAtOnce,
        eachBatch: async (payload) => this.#take(consumer, payload),
      });
      await ended.promise;
    } finally {
      clearInterval(watchdog);
      signal.removeEventListener('abort', onAbort);
      await withDeadline(
        consumer.disconnect(),
        disconnectTimeoutMs,
        () => new Error('the consumer does not stop'),
      ).catch((thrown: unknown) => logger.debug({ err: thrown }, 'consumer left behind'));
    }
  }

  #listen(consumer: Consumer, onEnd: (reason: Error) => void): void {
    const { HEARTBEAT, FETCH, GROUP_JOIN, CRASH } = consumer.events;
    const onSign = () => {
      this.#lastSignMs = this.#options.clock.monotonic();
      this.#hasCrashed = false;
    };
    consumer.on(HEARTBEAT, onSign);
    consumer.on(FETCH, onSign);
    consumer.on(GROUP_JOIN, () => {
      this.#lag.forget();
      onSign();
    });
    consumer.on(CRASH, ({ payload }) => onEnd(payload.error));
  }

  #silentMs(): number {
    return this.#options.clock.monotonic() - this.#lastSignMs;
  }

  /** Hands out what one partition has, in pieces; nothing behind a piece goes ahead of it. */
  async #take(consumer: Consumer, payload: EachBatchPayload): Promise<void> {
    const { topic, partition } = payload.batch;
    const gone = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, gone.signal]);
    const timer = setInterval(() => {
      payload.heartbeat().catch((thrown: unknown) => gone.abort(thrown));
      if (!payload.isRunning() || payload.isStale())
        gone.abort(new Error('the partition is another member’s'));
    }, heartbeatMs);
    const { messages } = payload.batch;
    let taken = 0;
    this.#lag.note(payload, messages[0]);
    try {
      for (const piece of cut(messages)) {
        const records = piece.map((message) => toRecord(message, { topic, partition }));
        await this.#offer(records, signal);
        const last = piece.at(-1);
        if (last === undefined) continue;
        payload.resolveOffset(last.offset);
        const offset = (BigInt(last.offset) + 1n).toString();
        await consumer.commitOffsets([{ topic, partition, offset }]);
        taken += piece.length;
        this.#lag.note(payload, messages[taken]);
        if (signal.aborted) return;
      }
    } finally {
      clearInterval(timer);
    }
  }

  /** Until it is taken. @throws when the partition is lost or the subscription ends */
  async #offer(records: readonly StoredRecord[], signal: AbortSignal): Promise<void> {
    const { logger, topic, group } = this.#options;
    for (let attempt = 0; ; attempt += 1) {
      signal.throwIfAborted();
      try {
        await this.#options.onBatch(records, signal);
        return;
      } catch (thrown) {
        signal.throwIfAborted();
        logger.warn({ err: thrown, topic, group }, 'batch failed, will be read again');
      }
      await sleep(backoffMs(attempt, { baseMs: 100, capMs: 5_000 }), signal);
    }
  }
}

/** Pieces of as many records and bytes as a reader gets at a time. */
function* cut(messages: readonly KafkaMessage[]): Generator<KafkaMessage[]> {
  let piece: KafkaMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = message.value?.length ?? 0;
    if (piece.length > 0 && (piece.length === maxReadRecords || bytes + size > maxReadBytes)) {
      yield piece;
      piece = [];
      bytes = 0;
    }
    piece.push(message);
    bytes += size;
  }
  if (piece.length > 0) yield piece;
}

/** Anybody with the right to write may have written it: a record without key, value or readable headers is one, too. */
function toRecord(
  { key, value, headers = {}, offset }: KafkaMessage,
  from: { topic: string; partition: number },
): StoredRecord {
  const texts: Record<string, string> = {};
  for (const [name, header] of Object.entries(headers)) {
    // A header may have no value, which the client's types deny.
    const [first] = [header].flat() as (Buffer | string | null | undefined)[];
    texts[name] = first?.toString() ?? '';
  }
  return {
    ...from,
    position: BigInt(offset),
    key: key?.toString() ?? '',
    headers: texts,
    value: value ?? Buffer.alloc(0),
  };
}
