/**
 * Publishes a lane to the event log, for ever: batches in order, one in flight, each repeated until it is taken. The first
 * record after a rest goes at once; those behind it gather for a moment, unless somebody waits for them.
 */
import { backoffMs, sleep } from '../clock/clock.js';
import { GatehouseError } from '../errors/errors.js';
import {
  maxBatchBytes,
  maxBatchRecords,
  type EventLog,
  type LogRecord,
} from '../event-log/types.js';
import type { Logger } from '../log/log.js';
import { Acknowledgements } from './acknowledgements.js';
import { findFrame, readFrame, type Frame } from './frame.js';
import type { Lane } from './lane.js';

/** Bytes read at once; grows for one larger frame. */
const readBytes = 1024 * 1024;
/** Sends that nobody waits for begin at least this far apart, ms. */
const gatherMs = 100;
/** With so much in the lane there is nothing to gather for. */
const fullBatchBytes = 256 * 1024;
/** What a record costs on the log beside its value. */
const recordOverhead = 512;

export interface ShipperOptions {
  readonly lane: Lane;
  readonly topic: string;
  readonly eventLog: EventLog;
  readonly logger: Logger;
  /** The record of a frame; undefined for one that is not published. Must not throw. */
  toRecord(frame: Frame): LogRecord | undefined;
  /** A smaller record in place of one that the log refuses as too large; undefined gives it up. */
  shrink(record: LogRecord): LogRecord | undefined;
  /** A record or a damaged place was given up. */
  onLoss(why: string): void;
  /** Called when a batch was taken. */
  onAcknowledged(): void;
}

interface Batch {
  readonly records: readonly LogRecord[];
  /** Position behind the batch. */
  readonly end: number;
}

export class Shipper {
  readonly #options: ShipperOptions;
  readonly #acknowledgements: Acknowledgements;
  readonly #closing = new AbortController();
  #wake: (() => void) | undefined;
  #gathering: AbortController | undefined;
  #sentAt = -Infinity;
  #running: Promise<void> = Promise.resolve();
  /** The log did not take the last send. */
  failing = false;

  constructor(options: ShipperOptions) {
    this.#options = options;
    this.#acknowledgements = new Acknowledgements(options.lane);
    options.lane.onAppend = () => {
      this.#wake?.();
      if (this.#isBatchFull) this.#gathering?.abort();
    };
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Resolves when the event log has everything before `position`, by default all that was appended. @throws the signal's reason */
  async acknowledged(signal?: AbortSignal, position = this.#options.lane.written): Promise<void> {
    const reached = this.#acknowledgements.reached(position, signal);
    this.#gathering?.abort();
    await reached;
  }

  /** Stops after the send under way. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the spool is closing'));
    this.#wake?.();
    this.#gathering?.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { lane, logger } = this.#options;
    const { signal } = this.#closing;
    let attempt = 0;
    while (!signal.aborted) {
      try {
        if (lane.pendingBytes === 0) {
          await this.#rest();
          continue;
        }
        await this.#gather();
        this.#sentAt = performance.now();
        await this.#shipOnce();
        attempt = 0;
        this.failing = false;
      } catch (thrown) {
        if (!this.failing)
          logger.warn(
            { err: thrown, topic: this.#options.topic },
            'event log refused a batch, trying again',
          );
        this.failing = true;
        await sleep(backoffMs(attempt, { baseMs: 100, capMs: 5000 }), signal).catch(
          () => undefined,
        );
        attempt += 1;
      }
    }
  }

  async #rest(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  async #gather(): Promise<void> {
    const leftMs = this.#sentAt + gatherMs - performance.now();
    if (leftMs <= 0 || this.#isBatchFull || this.#acknowledgements.areAwaited) return;
    this.#gathering = new AbortController();
    await sleep(leftMs, this.#gathering.signal).catch(() => undefined);
    this.#gathering = undefined;
  }

  get #isBatchFull(): boolean {
    return this.#options.lane.pendingBytes >= fullBatchBytes;
  }

  async #shipOnce(): Promise<void> {
    const { lane } = this.#options;
    const batch = await this.#readBatch(lane.frameStart(lane.acknowledged));
    await this.#publish(batch.records);
    lane.acknowledge(batch.end);
    this.#acknowledgements.settle();
    this.#options.onAcknowledged();
  }

  /** Sends records; those that are refused as too large are sent by halves, the last one shrunk. */
  async #publish(records: readonly LogRecord[]): Promise<void> {
    if (records.length === 0) return;
    try {
      await this.#options.eventLog.publish(this.#options.topic, records);
    } catch (thrown) {
      if (!(thrown instanceof GatehouseError) || thrown.code !== 'EVENT_LOG_TOO_LARGE')
        throw thrown;
      await this.#publishSmaller(records);
    }
  }

  async #publishSmaller(records: readonly LogRecord[]): Promise<void> {
    const [only] = records;
    if (records.length === 1 && only !== undefined) {
      const smaller = this.#options.shrink(only);
      if (smaller === undefined) this.#options.onLoss('refused as too large');
      else await this.#publish([smaller]);
      return;
    }
    const half = Math.ceil(records.length / 2);
    await this.#publish(records.slice(0, half));
    await this.#publish(records.slice(half));
  }

  async #readBatch(start: number): Promise<Batch> {
    const { lane } = this.#options;
    for (let size = readBytes; ; size *= 4) {
      const buffer = await lane.read(start, size);
      const isWhole = start + buffer.length >= lane.segmentEnd(start);
      const batch = this.#parse(buffer, start);
      if (batch.end > start) return batch;
      if (isWhole) return { records: [], end: this.#skipDamage(buffer, start) };
    }
  }

  #parse(buffer: Buffer, start: number): Batch {
    const records: LogRecord[] = [];
    let bytes = 0;
    let end = 0;
    while (records.length < maxBatchRecords) {
      const frame = readFrame(buffer, end);
      if (typeof frame === 'string') break;
      if (end === 0) this.#options.lane.oldestMs = frame.timeMs;
      const record = this.#options.toRecord(frame);
      if (record !== undefined) {
        const size = record.value.length + recordOverhead;
        if (records.length > 0 && bytes + size > maxBatchBytes) break;
        bytes += size;
        records.push(record);
      }
      end = frame.end;
    }
    return { records, end: start + end };
  }

  /** Position of the next whole frame, or of the segment's end. */
  #skipDamage(buffer: Buffer, start: number): number {
    if (buffer.length === 0) return start;
    const next = findFrame(buffer, 1);
    this.#options.logger.error(
      { bytes: next ?? buffer.length, topic: this.#options.topic },
      'spool damaged, bytes skipped',
    );
    this.#options.onLoss('damaged');
    return start + (next ?? buffer.length);
  }
}
