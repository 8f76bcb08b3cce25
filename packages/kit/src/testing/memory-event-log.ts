/** An event log in memory, for tests: it passes the same conformance suite as the real ones. */
import { eventLogError } from '../event-log/errors.js';
import type {
  EventLog,
  LogRecord,
  StoredRecord,
  SubscribeOptions,
} from '../event-log/event-log.js';

const maxSendBytes = 1024 * 1024;
const maxReadRecords = 500;
const maxReadBytes = 2 * 1024 * 1024;

/** What all clients of a log share: a "broker". Switch `isAway` to test an outage. */
export class MemoryBroker {
  readonly topics = new Map<string, StoredRecord[]>();
  readonly positions = new Map<string, number>();
  readonly publishedAt = new WeakMap<StoredRecord, number>();
  readonly members = new Map<string, Promise<void>>();
  /** While true, nothing is taken and nothing is handed out. */
  isAway = false;
  #waiters = new Set<() => void>();

  /** Everything published to a topic, in order. */
  records(topic: string): readonly StoredRecord[] {
    return this.topics.get(topic) ?? [];
  }

  /** Tells readers to look. */
  changed(): void {
    for (const wake of this.#waiters) wake();
  }

  async change(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, 50);
      this.#waiters.add(wake);
      signal.addEventListener('abort', wake);
    });
  }
}

/** A client of a broker; by default of one of its own. */
export function createMemoryEventLog(broker: MemoryBroker = new MemoryBroker()): EventLog {
  const closing = new AbortController();
  const running = new Set<Promise<void>>();
  return {
    publish: async (topic, records) => {
      await Promise.resolve();
      publish({ broker, signal: closing.signal }, topic, records);
    },
    subscribe: async (options) => {
      await Promise.resolve();
      const own = new AbortController();
      const group = `${options.topic}\n${options.group}`;
      const before = broker.members.get(group) ?? Promise.resolve();
      let hasTurn = false;
      const reading = before.then(async () => {
        hasTurn = true;
        await readGroup(broker, options, AbortSignal.any([own.signal, closing.signal]));
      });
      broker.members.set(group, reading);
      running.add(reading);
      return {
        isFailing: () => broker.isAway,
        lag: () => {
          const position = broker.positions.get(group) ?? 0;
          const waiting = broker.records(options.topic).slice(position);
          const sinceMs = waiting[0] && broker.publishedAt.get(waiting[0]);
          const behindMs = sinceMs === undefined ? 0 : Math.max(1, performance.now() - sinceMs);
          return { records: waiting.length, behindMs };
        },
        [Symbol.asyncDispose]: async () => {
          own.abort();
          running.delete(reading);
          if (hasTurn) await reading;
        },
      };
    },
    progress: async (topic, group) => {
      await Promise.resolve();
      if (broker.isAway) throw eventLogError('EVENT_LOG_UNAVAILABLE');
      const end = BigInt(broker.records(topic).length);
      const taken = BigInt(broker.positions.get(`${topic}\n${group}`) ?? 0);
      return [{ partition: 0, end, taken }];
    },
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      broker.changed();
      await Promise.all(running);
    },
  };
}

function publish(
  place: { broker: MemoryBroker; signal: AbortSignal },
  topic: string,
  records: readonly LogRecord[],
): void {
  const { broker } = place;
  if (place.signal.aborted) throw eventLogError('EVENT_LOG_CLOSED');
  if (broker.isAway) throw eventLogError('EVENT_LOG_UNAVAILABLE');
  if (records.reduce((sum, record) => sum + bytesOf(record), 0) > maxSendBytes)
    throw eventLogError('EVENT_LOG_TOO_LARGE');
  const stored = broker.topics.get(topic) ?? [];
  broker.topics.set(topic, stored);
  for (const record of records) {
    const own: StoredRecord = {
      ...record,
      value: Buffer.from(record.value),
      topic,
      partition: 0,
      position: BigInt(stored.length),
    };
    stored.push(own);
    broker.publishedAt.set(own, performance.now());
  }
  broker.changed();
}

function bytesOf({ key, headers, value }: LogRecord): number {
  return Buffer.byteLength(key + Object.entries(headers).join('')) + value.length;
}

async function readGroup(
  broker: MemoryBroker,
  options: SubscribeOptions,
  signal: AbortSignal,
): Promise<void> {
  const group = `${options.topic}\n${options.group}`;
  while (!signal.aborted) {
    const position = broker.positions.get(group) ?? 0;
    const records = broker.isAway ? [] : nextBatch(broker.records(options.topic), position);
    try {
      if (records.length === 0) {
        await broker.change(signal);
        continue;
      }
      await options.onBatch(records, signal);
      broker.positions.set(group, position + records.length);
    } catch {
      await broker.change(signal);
    }
  }
}

function nextBatch(records: readonly StoredRecord[], position: number): StoredRecord[] {
  const batch: StoredRecord[] = [];
  let bytes = 0;
  for (const record of records.slice(position, position + maxReadRecords)) {
    bytes += record.value.length;
    if (batch.length > 0 && bytes > maxReadBytes) break;
    batch.push(record);
  }
  return batch;
}
