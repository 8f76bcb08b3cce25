/**
 * Writes a recording as a chain of chunks. A chunk closes when its frames reach 256 KiB or 2 s after its first one; it is
 * gzipped alone and carries its own hash and that of the chunk before. Chunks go to the sink one after another.
 *
 * Calls are cheap and never throw: a failure of the sink ends the recording, is told once, and all later calls do
 * nothing.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import type { Clock } from '@gatehouse/kit/clock';
import type { RecordingChunk } from '@gatehouse/kit/event-log';

import { recordingError } from './errors.js';
import {
  boundSize,
  encodeSize,
  frameHeadBytes,
  frameKinds,
  writeFrame,
  type RecordingHeader,
} from './frames.js';

const gzipAsync = promisify(gzip);

/** The fastest: on terminal output higher levels take up to three times as long for a few percent less. */
const gzipOptions = { level: 1, windowBits: 13, chunkSize: 64 * 1024 };

const chunkBytes = 256 * 1024;
const chunkMs = 2000;
/** Beyond this the target's side should pause (D26). */
const overloadedBytes = 4 * 1024 * 1024;
/** Beyond this somebody does not pause: the recording fails rather than fill the memory. */
const failBytes = 64 * 1024 * 1024;
const maxLabelBytes = 1024;
const maxCommandChars = 4096;

/** What `recording.completed` says. */
export interface RecordingSummary {
  readonly recordingId: string;
  readonly chunks: number;
  /** Bytes recorded, before encoding and compression. */
  readonly bytes: number;
  readonly durationMs: number;
  /** SHA-256 of the last chunk, which through the chain stands for all. */
  readonly head: string;
}

export interface RecordingWriterOptions<RecordingId extends string> {
  readonly recordingId: RecordingId;
  readonly clock: Clock;
  readonly header: { readonly columns: number; readonly rows: number; readonly command?: string };
  /**
   * Whether keystrokes are kept. Default false: what is typed where nothing is echoed (passwords) is in no recording.
   */
  readonly recordInput?: boolean;
  /** Takes each chunk in order and resolves when it is spooled. When it rejects, the recording has failed. */
  sink(chunk: RecordingChunk): Promise<void>;
  /** Called once, when the recording has failed; later frames are dropped. */
  onFailure?(thrown: unknown): void;
}

/** The `Recorder` of packages/protocols/api, with what the host needs besides. */
export interface RecordingRecorder<RecordingId extends string = string> {
  readonly recordingId: RecordingId;
  output(bytes: Uint8Array): void;
  input(bytes: Uint8Array): void;
  resize(columns: number, rows: number): void;
  /** A point in time with a name, for players. */
  marker(label: string): void;
  /** More than 4 MiB wait for the spool. */
  readonly overloaded: boolean;
  /** Resolves when half of that is gone, or the recording has failed or ended. */
  drained(): Promise<void>;
  /** Closes the last chunk and waits until it is spooled. Never rejects. */
  end(): Promise<void>;
  /** What was recorded; final once `end()` has resolved. */
  summary(): RecordingSummary;
  readonly failed: boolean;
}

/** Starts a recording. No call of the recorder throws. */
export function createRecordingWriter<RecordingId extends string>(
  options: RecordingWriterOptions<RecordingId>,
): RecordingRecorder<RecordingId> {
  return new RecordingWriter(options);
}

/** The chunk that is being filled. */
interface OpenChunk {
  readonly buffer: Buffer;
  size: number;
  recordedBytes: number;
  readonly fromMs: number;
  toMs: number;
}

class RecordingWriter<RecordingId extends string> implements RecordingRecorder<RecordingId> {
  readonly recordingId: RecordingId;
  failed = false;
  readonly #options: RecordingWriterOptions<RecordingId>;
  readonly #beganAt: number;
  #open: OpenChunk | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  /** Bytes in chunks that are not spooled yet, the open one included. */
  #pendingBytes = 0;
  #sending: Promise<void> = Promise.resolve();
  #drainWaiters: (() => void)[] = [];
  #chunks = 0;
  #bytes = 0;
  #durationMs = 0;
  #head = '0'.repeat(64);

  constructor(options: RecordingWriterOptions<RecordingId>) {
    this.#options = options;
    this.recordingId = options.recordingId;
    this.#beganAt = options.clock.monotonic();
    const { columns, rows, command } = options.header;
    const header: RecordingHeader = {
      version: 1,
      ...boundSize(columns, rows),
      ...(command === undefined
        ? {}
        : { command: command.slice(0, maxCommandChars).toWellFormed() }),
      startedAtMs: options.clock.now(),
    };
    this.#add(frameKinds.header, Buffer.from(JSON.stringify(header)));
  }

  get overloaded(): boolean {
    return this.#pendingBytes > overloadedBytes;
  }

  output(bytes: Uint8Array): void {
    this.#addBytes(frameKinds.output, bytes);
  }

  input(bytes: Uint8Array): void {
    if (this.#options.recordInput === true) this.#addBytes(frameKinds.input, bytes);
  }

  resize(columns: number, rows: number): void {
    this.#add(frameKinds.resize, encodeSize(columns, rows));
  }

  marker(label: string): void {
    this.#add(frameKinds.marker, Buffer.from(label).subarray(0, maxLabelBytes));
  }

  async drained(): Promise<void> {
    if (this.#pendingBytes <= overloadedBytes / 2 || this.failed) return;
    await new Promise<void>((resolve) => {
      this.#drainWaiters.push(resolve);
    });
  }

  async end(): Promise<void> {
    if (!this.#ended) {
      this.#durationMs = this.#now();
      this.#closeChunk();
      this.#ended = true;
    }
    await this.#sending;
  }

  summary(): RecordingSummary {
    const { recordingId } = this;
    return {
      recordingId,
      chunks: this.#chunks,
      bytes: this.#bytes,
      durationMs: this.#durationMs,
      head: this.#head,
    };
  }

  #now(): number {
    return Math.max(0, Math.round(this.#options.clock.monotonic() - this.#beganAt));
  }

  /** Bytes of any length, as frames that fit their chunks. */
  #addBytes(kind: number, bytes: Uint8Array): void {
    let offset = 0;
    while (offset < bytes.length && !this.failed && !this.#ended) {
      const room = chunkBytes - (this.#open?.size ?? 0) - frameHeadBytes;
      const piece = bytes.subarray(offset, offset + Math.max(1, room));
      this.#add(kind, piece);
      if (this.#open !== undefined) this.#open.recordedBytes += piece.length;
      this.#bytes += piece.length;
      offset += piece.length;
      if (this.#open !== undefined && this.#open.size >= chunkBytes - frameHeadBytes)
        this.#closeChunk();
    }
  }

  #add(kind: number, bytes: Uint8Array): void {
    if (this.failed || this.#ended) return;
    const size = frameHeadBytes + bytes.length;
    if (this.#open !== undefined && this.#open.size + size > chunkBytes) this.#closeChunk();
    const ms = this.#now();
    const chunk = (this.#open ??= this.#openChunk(ms));
    chunk.size = writeFrame(chunk.buffer, chunk.size, { ms, kind, bytes });
    chunk.toMs = ms;
    this.#durationMs = ms;
    this.#pendingBytes += size;
    if (this.#pendingBytes > failBytes) this.#fail(recordingError('RECORDING_OVERLOADED'));
  }

  #openChunk(fromMs: number): OpenChunk {
    this.#timer = setTimeout(() => {
      this.#closeChunk();
    }, chunkMs).unref();
    return {
      buffer: Buffer.allocUnsafe(chunkBytes),
      size: 0,
      recordedBytes: 0,
      fromMs,
      toMs: fromMs,
    };
  }

  #closeChunk(): void {
    clearTimeout(this.#timer);
    const chunk = this.#open;
    this.#open = undefined;
    if (chunk === undefined) return;
    this.#sending = this.#sending
      .then(async () => this.#send(chunk))
      .catch((thrown: unknown) => {
        this.#fail(thrown);
      });
  }

  async #send(chunk: OpenChunk): Promise<void> {
    if (this.failed) return;
    const content = await gzipAsync(chunk.buffer.subarray(0, chunk.size), gzipOptions);
    const sha256 = createHash('sha256').update(content).digest('hex');
    const { fromMs, toMs, recordedBytes } = chunk;
    const previousSha256 = this.#head;
    await this.#options.sink({
      index: this.#chunks,
      fromMs,
      toMs,
      recordedBytes,
      content,
      sha256,
      previousSha256,
    });
    this.#head = sha256;
    this.#chunks += 1;
    this.#pendingBytes -= chunk.size;
    if (this.#pendingBytes <= overloadedBytes / 2) this.#wakeWaiters();
  }

  #fail(thrown: unknown): void {
    if (this.failed) return;
    this.failed = true;
    clearTimeout(this.#timer);
    this.#open = undefined;
    this.#pendingBytes = 0;
    this.#wakeWaiters();
    this.#options.onFailure?.(thrown);
  }

  #wakeWaiters(): void {
    for (const wake of this.#drainWaiters.splice(0)) wake();
  }
}
