/**
 * The event log of the embedded database: one append-only table and one of offsets. The embedded database runs one
 * statement at a time, so positions become visible in their order.
 */
import { EventEmitter } from 'node:events';

import { sql, type QueryExecutorProvider } from 'kysely';

import { backoffMs, sleep, type Clock } from '../clock/clock.js';
import { runInBackground } from '../lifecycle/lifecycle.js';
import type { Logger } from '../log/log.js';
import { eventLogError } from './errors.js';
import {
  maxBatchRecords,
  topics,
  type EventLog,
  type LogRecord,
  type Progress,
  type ReadLag,
  type StoredRecord,
  type SubscribeOptions,
  type Subscription,
} from './types.js';

export interface EmbeddedEventLogOptions {
  /** Any kysely database: the log brings its own two tables. */
  readonly database: QueryExecutorProvider;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often a reader looks although it was not woken, default 1 s. */
  readonly pollMs?: number;
  /** How often records whose time is over are looked for, default an hour. */
  readonly pruneEveryMs?: number;
}

/** As a broker's message.max.bytes. */
const maxSendBytes = 1024 * 1024;
/** A batch handed to a reader holds about so many bytes, and at least one record. */
const maxReadBytes = 2 * 1024 * 1024;

const dayMs = 24 * 3_600_000;
/** How long records stay that every group has read (D25); what nobody has read yet stays. */
const retentions: readonly [topic: string, ms: number][] = [
  [topics.audit, 7 * dayMs],
  [topics.recordings, 3 * dayMs],
];
/** Deleted by one statement: the embedded database serves nobody else meanwhile. */
const pruneRows = 200;

const schema = [
  sql`create table if not exists event_log_record (
    position bigint generated always as identity primary key,
    topic text not null,
    key text not null,
    headers text not null,
    value bytea not null,
    appended_at timestamptz not null
  )`,
  sql`create index if not exists event_log_record_topic on event_log_record (topic, position)`,
  sql`create table if not exists event_log_offset (
    topic text not null,
    group_name text not null,
    position bigint not null,
    primary key (topic, group_name)
  )`,
];

/** Opens the log, making its tables where they are missing. All users of one database share one log object. */
export async function createEmbeddedEventLog(options: EmbeddedEventLogOptions): Promise<EventLog> {
  for (const statement of schema) await statement.execute(options.database);
  return new EmbeddedEventLog(options);
}

class EmbeddedEventLog implements EventLog {
  readonly #options: EmbeddedEventLogOptions;
  readonly #wakeUp = new EventEmitter();
  readonly #subscriptions = new Set<Member>();
  /** The last member of each group: the next one waits for it to leave. */
  readonly #members = new Map<string, Promise<void>>();
  readonly #pruning: NodeJS.Timeout;
  #closed = false;

  constructor(options: EmbeddedEventLogOptions) {
    this.#options = options;
    this.#wakeUp.setMaxListeners(0);
    this.#pruning = setInterval(() => {
      runInBackground(async () => this.#prune(), options.logger, 'event log could not be pruned');
    }, options.pruneEveryMs ?? 3_600_000).unref();
  }

  async publish(topic: string, records: readonly LogRecord[]): Promise<void> {
    if (this.#closed) throw eventLogError('EVENT_LOG_CLOSED');
    if (records.length === 0) return;
    if (records.reduce((sum, record) => sum + record.value.length + 1024, 0) > maxSendBytes)
      throw eventLogError('EVENT_LOG_TOO_LARGE');
    const keys = records.map((record) => record.key.replaceAll('\0', String.raw`\0`));
    const headers = records.map((record) => JSON.stringify(record.headers));
    const values = records.map((record) => record.value);
    const at = new Date(this.#options.clock.now());
    await sql`
      insert into event_log_record (topic, key, headers, value, appended_at)
      select ${topic}, key, headers, value, ${at}
      from unnest(${keys}::text[], ${headers}::text[], ${values}::bytea[]) with ordinality as record (key, headers, value, number)
      order by number`.execute(this.#options.database);
    this.#wakeUp.emit(topic);
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    await Promise.resolve();
    if (this.#closed) throw eventLogError('EVENT_LOG_CLOSED');
    const group = `${options.topic}\n${options.group}`;
    const before = this.#members.get(group) ?? Promise.resolve();
    const subscription = new Member({
      ...this.#options,
      ...options,
      wakeUp: this.#wakeUp,
      before,
    });
    this.#members.set(group, subscription.left);
    this.#subscriptions.add(subscription);
    return {
      isFailing: () => subscription.isFailing,
      lag: () => subscription.lag,
      [Symbol.asyncDispose]: async () => {
        this.#subscriptions.delete(subscription);
        await subscription.close();
      },
    };
  }

  async progress(topic: string, group: string): Promise<Progress[]> {
    const { database } = this.#options;
    const { rows } = await sql<{ end: number | null }>`
      select max(position) as "end" from event_log_record where topic = ${topic}`.execute(database);
    const taken = await readOffset({ database, topic, group });
    return [{ partition: 0, end: BigInt(rows[0]?.end ?? 0), taken }];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearInterval(this.#pruning);
    await Promise.all([...this.#subscriptions].map(async (subscription) => subscription.close()));
    this.#subscriptions.clear();
  }

  async #prune(): Promise<void> {
    const { database, clock } = this.#options;
    let pruned = 0n;
    for (const [topic, ms] of retentions) {
      const before = new Date(clock.now() - ms);
      for (let count = BigInt(pruneRows); count === BigInt(pruneRows) && !this.#closed;) {
        count = await deleteRead(database, topic, before);
        pruned += count;
      }
    }
    // The embedded database has nobody who does this by itself; without it the room is never used again.
    if (pruned > 0n && !this.#closed) await sql`vacuum event_log_record`.execute(database);
  }
}

/** Some of the oldest records from before a time, of those that every group has read; gives how many. */
async function deleteRead(
  database: QueryExecutorProvider,
  topic: string,
  before: Date,
): Promise<bigint> {
  const { numAffectedRows = 0n } = await sql`
    delete from event_log_record where position in (
      select position from event_log_record
      where topic = ${topic} and appended_at < ${before}
        and position <= (select min(position) from event_log_offset where topic = ${topic})
      order by position limit ${pruneRows}
    )`.execute(database);
  return numAffectedRows;
}

type SubscriptionOptions = EmbeddedEventLogOptions &
  SubscribeOptions & { readonly wakeUp: EventEmitter; readonly before: Promise<void> };

/** One member of a group: reads when the members before it have left. */
class Member {
  /** Resolves when this member reads no more. */
  readonly left: Promise<void>;
  /** The last question to the database had no answer. */
  isFailing = false;
  readonly #options: SubscriptionOptions;
  readonly #stopped: Promise<void>;
  readonly #closing = new AbortController();
  #position = 0n;
  #woken = false;
  /** Records that were read and are not taken, and when that was. */
  #held: { records: number; sinceMs: number } | undefined;
  #wake: (() => void) | undefined;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stopped = promise;
    this.left = Promise.all([promise, options.before]).then(() => undefined);
    options.wakeUp.on(options.topic, this.#onWakeUp);
    runInBackground(
      async () => this.#run().finally(resolve),
      options.logger,
      'event log subscription stopped',
    );
  }

  get lag(): ReadLag {
    if (this.#held === undefined) return { records: 0, behindMs: 0 };
    const { records, sinceMs } = this.#held;
    return { records, behindMs: Math.max(1, performance.now() - sinceMs) };
  }

  async close(): Promise<void> {
    this.#options.wakeUp.off(this.#options.topic, this.#onWakeUp);
    this.#closing.abort(eventLogError('EVENT_LOG_CLOSED'));
    this.#wake?.();
    await this.#stopped;
  }

  readonly #onWakeUp = () => {
    this.#woken = true;
    this.#wake?.();
  };

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { logger, topic, group } = this.#options;
    await Promise.race([this.#options.before, aborted(signal)]);
    let attempt = 0;
    let positioned = false;
    while (!signal.aborted) {
      try {
        if (!positioned) this.#position = await this.#ask(readOffset(this.#options));
        positioned = true;
        if (!(await this.#readOnce(signal))) await this.#rest();
        attempt = 0;
      } catch (thrown) {
        if (signal.aborted) return;
        logger.warn({ err: thrown, topic, group }, 'batch failed, will be read again');
        await sleep(backoffMs(attempt, { baseMs: 100, capMs: 5000 }), signal).catch(
          () => undefined,
        );
        attempt += 1;
      }
    }
  }

  /** True where there was something to read. */
  async #readOnce(signal: AbortSignal): Promise<boolean> {
    this.#woken = false;
    const records = await this.#ask(readRecords(this.#options, this.#position));
    const last = records.at(-1);
    if (last === undefined) return false;
    this.#held = { records: records.length, sinceMs: this.#held?.sinceMs ?? performance.now() };
    await this.#options.onBatch(records, signal);
    await this.#ask(writeOffset(this.#options, last.position));
    this.#held = undefined;
    this.#position = last.position;
    return true;
  }

  async #ask<T>(question: Promise<T>): Promise<T> {
    try {
      const answer = await question;
      this.isFailing = false;
      return answer;
    } catch (thrown) {
      this.isFailing = true;
      throw thrown;
    }
  }

  async #rest(): Promise<void> {
    if (this.#woken || this.#closing.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#options.pollMs ?? 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

interface RecordRow {
  readonly position: number;
  readonly key: string;
  readonly headers: string;
  readonly value: Buffer;
}

async function readRecords(options: SubscriptionOptions, after: bigint): Promise<StoredRecord[]> {
  const { rows } = await sql<RecordRow>`
    select position, key, headers, value from (
      select *, sum(octet_length(value)) over (order by position) - octet_length(value) as bytes_before
      from (
        select position, key, headers, value from event_log_record
        where topic = ${options.topic} and position > ${after.toString()}::bigint
        order by position limit ${maxBatchRecords}
      ) as candidate
    ) as counted
    where bytes_before < ${maxReadBytes}
    order by position`.execute(options.database);
  return rows.map((row) => ({
    topic: options.topic,
    partition: 0,
    position: BigInt(row.position),
    key: row.key,
    headers: parseHeaders(row.headers),
    value: row.value,
  }));
}

function parseHeaders(text: string): Record<string, string> {
  const headers: Record<string, string> = {};
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) return headers;
  for (const [name, item] of Object.entries(value)) headers[name] = String(item);
  return headers;
}

async function readOffset(
  options: Pick<SubscriptionOptions, 'database' | 'topic' | 'group'>,
): Promise<bigint> {
  const { rows } = await sql<{ position: number }>`
    select position from event_log_offset where topic = ${options.topic} and group_name = ${options.group}`.execute(
    options.database,
  );
  return BigInt(rows[0]?.position ?? 0);
}

async function writeOffset(options: SubscriptionOptions, position: bigint): Promise<void> {
  await sql`
    insert into event_log_offset (topic, group_name, position)
    values (${options.topic}, ${options.group}, ${position.toString()}::bigint)
    on conflict (topic, group_name) do update set position = excluded.position`.execute(
    options.database,
  );
}
