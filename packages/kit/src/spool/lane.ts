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
  fstatSync,
  fsync,
  ftruncateSync,
  openSync,
  read,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { runInBackground } from '../lifecycle/lifecycle.js';
import type { Logger } from '../log/log.js';
import { DiskReserve } from './disk-reserve.js';
import { encodeJsonFrame, fileHeader, frameKinds } from './frame.js';
import { SegmentDirectory, type LaneRecovery } from './segment-directory.js';

const readAsync = promisify(read);
const syncDataAsync = promisify(fdatasync);
const syncAsync = promisify(fsync);

/** Longest time between a write and its sync. */
const syncMs = 50;
/** How long after a sync that the disk refused the next one is tried. */
const syncAgainMs = 1000;
const saveAcknowledgedMs = 1000;
/** Kept on the disk for the ends of sessions and notes of loss. */
const diskReserveBytes = 1024 * 1024;

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

export class Lane {
  readonly #options: LaneOptions;
  readonly #directory: SegmentDirectory;
  readonly #segments: SegmentFile[] = [];
  #acknowledged = 0;
  #dirty = false;
  #syncTimer: NodeJS.Timeout | undefined;
  #syncing: Promise<void> = Promise.resolve();
  #isSyncFailing = false;
  #saveTimer: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #reserve: DiskReserve;
  /** The disk refused a write, and its reserve has not been filled up since. */
  #isDiskFull = false;
  /** Time of the oldest frame that is not acknowledged; undefined when there is none. */
  oldestMs: number | undefined;
  /** Called after each append. */
  onAppend: () => void = () => undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#directory = new SegmentDirectory(options.dir, options.logger);
    this.#reserve = new DiskReserve(join(options.dir, 'reserve'), diskReserveBytes);
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

  /** The disk refused the last sync: what was written since the one before may not survive the machine. */
  get isSyncFailing(): boolean {
    return this.#isSyncFailing;
  }

  /** Reads what is there; afterwards {@link start} makes the lane writable. */
  recover(): LaneRecovery {
    const recovery = this.#directory.recover();
    const numbers = this.#directory.list();
    let base = 0;
    for (const number of numbers) {
      const fd = openSync(this.#directory.file(number), 'r+');
      const { size } = fstatSync(fd);
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
    return recovery;
  }

  /** Begins the first segment where there is none. @throws when the disk refuses */
  start(): void {
    if (this.#segments.length === 0) this.#addSegment();
    this.#loadPosition();
    this.#isDiskFull = !this.#reserve.fill();
  }

  /**
   * Appends a frame with one `write`.
   * @param extraBytes how far beyond the limit this frame may go; more than none: it may use up the disk's reserve too
   * @returns the position behind it, or undefined where it does not fit or the disk refuses
   */
  append(frame: Buffer, extraBytes = 0): number | undefined {
    if (this.#closed || this.pendingBytes + frame.length > this.#options.limitBytes + extraBytes)
      return undefined;
    if (!this.#appendOrUseReserve(frame, extraBytes > 0)) return undefined;
    this.oldestMs ??= this.#options.now();
    this.#dirty = true;
    this.#syncTimer ??= setTimeout(() => this.#syncSoon(), syncMs).unref();
    this.onAppend();
    return this.written;
  }

  /** True where the disk takes writes, or does so again: its reserve could be filled up. */
  recoverDisk(): boolean {
    if (this.#isDiskFull && this.#reserve.fill()) this.#isDiskFull = false;
    return !this.#isDiskFull;
  }

  #appendOrUseReserve(frame: Buffer, isVital: boolean): boolean {
    if (!isVital) return !this.#isDiskFull && this.#tryAppend(frame);
    return this.#tryAppend(frame) || (this.#reserve.release() && this.#tryAppend(frame));
  }

  #tryAppend(frame: Buffer): boolean {
    let segment = this.#segments.at(-1);
    try {
      if (segment === undefined || this.#isFullSegment(segment, frame.length))
        segment = this.#addSegment();
      this.#write(segment, frame);
      return true;
    } catch (thrown) {
      if (!this.#isDiskFull) this.#options.logger.error({ err: thrown }, 'spool cannot be written');
      this.#isDiskFull = true;
      return false;
    }
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
      this.#savePosition();
    }, saveAcknowledgedMs).unref();
  }

  /** Waits until everything appended so far is on the disk. @throws when the disk refuses; the next one tries again */
  async sync(): Promise<void> {
    clearTimeout(this.#syncTimer);
    this.#syncTimer = undefined;
    const turn = this.#syncing.then(async () => this.#syncNow());
    this.#syncing = turn.catch(() => undefined);
    await turn;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#saveTimer);
    await this.sync().catch((thrown: unknown) => {
      this.#options.logger.error({ err: thrown }, 'spool could not be synced');
    });
    clearTimeout(this.#syncTimer);
    this.#savePosition();
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
    const path = this.#directory.file(number);
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
    try {
      await this.#syncSegments();
      this.#isSyncFailing = false;
    } catch (thrown) {
      this.#dirty = true;
      this.#isSyncFailing = true;
      this.#syncTimer ??= setTimeout(() => this.#syncSoon(), syncAgainMs).unref();
      throw thrown;
    }
  }

  async #syncSegments(): Promise<void> {
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
      rmSync(this.#directory.file(first.number), { force: true });
    }
  }

  #savePosition(): void {
    const segment = this.#segmentAt(this.#acknowledged) ?? this.#segments.at(-1);
    if (segment !== undefined)
      this.#directory.savePosition({
        number: segment.number,
        offset: this.#acknowledged - segment.base,
      });
  }

  #loadPosition(): void {
    const saved = this.#directory.loadPosition();
    const segment = this.#segments.find((one) => one.number === saved?.number);
    if (saved !== undefined && segment !== undefined && saved.offset <= segment.size)
      this.#acknowledged = segment.base + saved.offset;
    if (this.pendingBytes > 0) this.oldestMs = this.#options.now();
  }
}
