/**
 * A lane of the spool: a directory of append-only segment files. A position counts bytes of the lane; it rises for ever
 * and names a place in the segment whose `base` lies before it.
 *
 * Appending is one `write` call. Files are synced in groups. A segment goes when all of it is acknowledged and the one
 * behind it, which begins with a snapshot of what is open, is on the disk.
 */
import {
  closeSync,
  fdatasync,
  fsync,
  ftruncateSync,
  mkdirSync,
  openSync,
  read,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { runInBackground } from '../lifecycle/lifecycle.js';
import type { Logger } from '../log/log.js';
import { encodeJsonFrame, fileHeader, frameKinds, readSegment, type Frame } from './frame.js';

const readAsync = promisify(read);
const syncDataAsync = promisify(fdatasync);
const syncAsync = promisify(fsync);

/** Longest time between a write and its sync. */
const syncMs = 50;
const saveAcknowledgedMs = 1000;

export interface LaneOptions {
  readonly dir: string;
  readonly limitBytes: number;
  readonly segmentBytes: number;
  readonly logger: Logger;
  /** All that is open, as the first frame of a new segment. */
  snapshot(): unknown;
  now(): number;
}

interface SegmentFile {
  readonly number: number;
  readonly base: number;
  readonly fd: number;
  size: number;
  /** Size with the snapshot alone. */
  readonly begin: number;
  /** Closed, and all of it on the disk. */
  synced: boolean;
  /** Its beginning and its name are on the disk. */
  durable: boolean;
}

/** What an earlier owner left in the last segment. */
export interface LaneRecovery {
  readonly frames: readonly Frame[];
  readonly damaged: number;
}

export class Lane {
  readonly #options: LaneOptions;
  readonly #segments: SegmentFile[] = [];
  #acknowledged = 0;
  #dirty = false;
  #syncTimer: NodeJS.Timeout | undefined;
  #syncing: Promise<void> = Promise.resolve();
  #saveTimer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Time of the oldest frame that is not acknowledged; undefined when there is none. */
  oldestMs: number | undefined;
  /** Set while the disk refuses writes. */
  diskFailure: unknown;
  /** Called after each append. */
  onAppend: () => void = () => undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  }

  get limitBytes(): number {
    return this.#options.limitBytes;
  }

  /** End of what was appended. */
  get written(): number {
    const last = this.#segments.at(-1);
    return last === undefined ? 0 : last.base + last.size;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get pendingBytes(): number {
    return this.written - this.#acknowledged;
  }

  /**
   * Reads what is there, back to the newest snapshot, and cuts what an interrupted write left. Afterwards {@link start}
   * makes the lane writable.
   */
  recover(): LaneRecovery {
    const numbers = this.#listSegments();
    const kept: number[] = [];
    let frames: readonly Frame[] = [];
    let damaged = 0;
    while (numbers.length > 0 && frames[0]?.kind !== frameKinds.snapshot) {
      const number = numbers.pop() ?? 0;
      const segment = readSegment(readFileSync(this.#path(number)));
      damaged += segment?.damaged ?? 1;
      if (segment === undefined || segment.frames.length === 0) {
        this.#setAside(number);
        continue;
      }
      if (kept.length === 0) cutFile(this.#path(number), segment.validBytes);
      kept.unshift(number);
      frames = [...segment.frames, ...frames];
    }
    this.#openAll([...numbers, ...kept]);
    return { frames, damaged };
  }

  /** Begins the first segment where there is none. @throws when the disk refuses */
  start(): void {
    if (this.#segments.length === 0) this.#addSegment();
    this.#loadAcknowledged();
  }

  /**
   * Appends a frame with one `write`.
   * @param extraBytes how far beyond the limit this frame may go
   * @returns the position behind it, or undefined where it does not fit or the disk refuses
   */
  append(frame: Buffer, extraBytes = 0): number | undefined {
    if (this.#closed || this.pendingBytes + frame.length > this.#options.limitBytes + extraBytes)
      return undefined;
    let segment = this.#segments.at(-1);
    try {
      if (segment === undefined || this.#isFullSegment(segment, frame.length))
        segment = this.#addSegment();
      this.#write(segment, frame);
    } catch (thrown) {
      if (this.diskFailure === undefined)
        this.#options.logger.error({ err: thrown }, 'spool cannot be written');
      this.diskFailure = thrown;
      return undefined;
    }
    this.diskFailure = undefined;
    this.oldestMs ??= this.#options.now();
    this.#dirty = true;
    this.#syncTimer ??= setTimeout(() => this.#syncSoon(), syncMs).unref();
    this.onAppend();
    return this.written;
  }

  /** Up to `maxBytes` from a position on, of one segment. Empty at the end. */
  async read(position: number, maxBytes: number): Promise<Buffer> {
    const segment = this.#segmentAt(position);
    if (segment === undefined) return Buffer.alloc(0);
    const offset = position - segment.base;
    const buffer = Buffer.allocUnsafe(Math.min(maxBytes, segment.size - offset));
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await readAsync(
        segment.fd,
        buffer,
        filled,
        buffer.length - filled,
        offset + filled,
      );
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  /** Where frames begin at or behind a position: behind a file's header. */
  frameStart(position: number): number {
    const segment = this.#segmentAt(position);
    return segment === undefined ? position : Math.max(position, segment.base + fileHeader.length);
  }

  /** End of the segment that a position lies in. */
  segmentEnd(position: number): number {
    const segment = this.#segmentAt(position);
    return segment === undefined ? position : segment.base + segment.size;
  }

  /** Everything before `position` is in the event log. */
  acknowledge(position: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, position);
    if (this.pendingBytes === 0) this.oldestMs = undefined;
    this.#removeSegments();
    this.#saveTimer ??= setTimeout(() => {
      this.#saveTimer = undefined;
      this.#saveAcknowledged();
    }, saveAcknowledgedMs).unref();
  }

  /** Waits until everything appended so far is on the disk. */
  async sync(): Promise<void> {
    clearTimeout(this.#syncTimer);
    this.#syncTimer = undefined;
    this.#syncing = this.#syncing.then(async () => this.#syncNow());
    await this.#syncing;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#saveTimer);
    await this.sync();
    this.#saveAcknowledged();
    for (const segment of this.#segments) closeSync(segment.fd);
  }

  /** A large snapshot makes a larger segment, so that snapshots stay the smaller part. */
  #isFullSegment(segment: SegmentFile, bytes: number): boolean {
    return (
      segment.size + bytes > Math.max(this.#options.segmentBytes, segment.begin * 4) &&
      segment.size > segment.begin
    );
  }

  #segmentAt(position: number): SegmentFile | undefined {
    return this.#segments.find(
      (segment) => position >= segment.base && position < segment.base + segment.size,
    );
  }

  #write(segment: SegmentFile, bytes: Buffer): void {
    let done = 0;
    try {
      while (done < bytes.length)
        done += writeSync(segment.fd, bytes, done, bytes.length - done, segment.size + done);
    } catch (thrown) {
      if (done > 0) ftruncateSync(segment.fd, segment.size);
      throw thrown;
    }
    segment.size += bytes.length;
  }

  #addSegment(): SegmentFile {
    const number = (this.#segments.at(-1)?.number ?? 0) + 1;
    const path = this.#path(number);
    const snapshot = encodeJsonFrame(
      frameKinds.snapshot,
      this.#options.now(),
      this.#options.snapshot(),
    );
    const beginning = Buffer.concat([fileHeader, snapshot]);
    const fd = openSync(path, 'w+', 0o600);
    const segment = {
      number,
      base: this.written,
      fd,
      size: 0,
      begin: beginning.length,
      synced: false,
      durable: false,
    };
    try {
      this.#write(segment, beginning);
    } catch (thrown) {
      closeSync(fd);
      rmSync(path, { force: true });
      throw thrown;
    }
    this.#segments.push(segment);
    this.#dirty = true;
    return segment;
  }

  #syncSoon(): void {
    this.#syncTimer = undefined;
    runInBackground(async () => this.sync(), this.#options.logger, 'spool could not be synced');
  }

  async #syncNow(): Promise<void> {
    if (!this.#dirty) return;
    this.#dirty = false;
    const unsynced = this.#segments.filter((one) => !one.synced);
    for (const segment of unsynced) {
      const isLast = segment === this.#segments.at(-1);
      await syncDataAsync(segment.fd);
      segment.synced = !isLast;
    }
    if (unsynced.some((segment) => !segment.durable)) await this.#syncDirectory();
    for (const segment of unsynced) segment.durable = true;
    this.#removeSegments();
  }

  async #syncDirectory(): Promise<void> {
    const fd = openSync(this.#options.dir, 'r');
    try {
      await syncAsync(fd);
    } finally {
      closeSync(fd);
    }
  }

  #removeSegments(): void {
    for (;;) {
      const [first, second] = this.#segments;
      if (first === undefined || second === undefined || this.#closed) return;
      if (first.base + first.size > this.#acknowledged || !first.synced || !second.durable) return;
      this.#segments.shift();
      closeSync(first.fd);
      rmSync(this.#path(first.number), { force: true });
    }
  }

  #path(number: number): string {
    return join(this.#options.dir, `${String(number).padStart(16, '0')}.seg`);
  }

  #listSegments(): number[] {
    return readdirSync(this.#options.dir)
      .filter((name) => /^\d{16}\.seg$/.test(name))
      .map((name) => Number(name.slice(0, 16)))
      .toSorted((a, b) => a - b);
  }

  /** A segment without a frame: its owner died while making it, or it is not ours. */
  #setAside(number: number): void {
    const path = this.#path(number);
    this.#options.logger.warn({ segment: number }, 'spool segment without content set aside');
    rmSync(join(this.#options.dir, 'acknowledged'), { force: true });
    if (statSync(path).size <= fileHeader.length) rmSync(path);
    else renameSync(path, `${path}.damaged`);
  }

  #openAll(numbers: readonly number[]): void {
    let base = 0;
    for (const number of numbers) {
      const fd = openSync(this.#path(number), 'r+');
      const size = statSync(this.#path(number)).size;
      this.#segments.push({
        number,
        base,
        fd,
        size,
        begin: fileHeader.length,
        synced: number !== numbers.at(-1),
        durable: true,
      });
      base += size;
    }
  }

  #saveAcknowledged(): void {
    const segment = this.#segmentAt(this.#acknowledged) ?? this.#segments.at(-1);
    if (segment === undefined) return;
    const offset = String(this.#acknowledged - segment.base).padStart(16, '0');
    try {
      writeFileSync(
        join(this.#options.dir, 'acknowledged'),
        `${String(segment.number).padStart(16, '0')} ${offset}\n`,
        { mode: 0o600 },
      );
    } catch (thrown) {
      this.#options.logger.debug(
        { err: thrown },
        'spool position not saved; more will be sent again',
      );
    }
  }

  /** A position that is missing or not understood means that records are sent again, which is harmless. */
  #loadAcknowledged(): void {
    let text = '';
    try {
      text = readFileSync(join(this.#options.dir, 'acknowledged'), 'utf8');
    } catch {
      return;
    }
    const [, number, offset] = /^(\d{16}) (\d{16})\n$/.exec(text) ?? [];
    const segment = this.#segments.find((one) => one.number === Number(number));
    if (segment !== undefined && Number(offset) <= segment.size)
      this.#acknowledged = segment.base + Number(offset);
    if (this.pendingBytes > 0) this.oldestMs = this.#options.now();
  }
}

function cutFile(path: string, size: number): void {
  if (statSync(path).size === size) return;
  const fd = openSync(path, 'r+');
  ftruncateSync(fd, size);
  closeSync(fd);
}
