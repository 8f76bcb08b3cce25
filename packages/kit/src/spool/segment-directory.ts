/** The files of a lane: names, what to do with those that can't be used, and the saved position. */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import type { Logger } from '../log/log.js';
import { fileHeader, frameKinds, readSegment, type Frame } from './frame.js';

/** What an earlier owner left. */
export interface LaneRecovery {
  /** From the newest snapshot on. */
  readonly frames: readonly Frame[];
  /** Places that could not be read. */
  readonly damaged: number;
}

/** A place in a lane that outlives the process. */
export interface SavedPosition {
  readonly number: number;
  readonly offset: number;
}

export class SegmentDirectory {
  readonly #dir: string;
  readonly #logger: Logger;

  constructor(dir: string, logger: Logger) {
    this.#dir = dir;
    this.#logger = logger;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  get path(): string {
    return this.#dir;
  }

  file(number: number): string {
    return join(this.#dir, `${String(number).padStart(16, '0')}.seg`);
  }

  /** Numbers of the segments, rising. */
  list(): number[] {
    return readdirSync(this.#dir)
      .filter((name) => /^\d{16}\.seg$/.test(name))
      .map((name) => Number(name.slice(0, 16)))
      .toSorted((a, b) => a - b);
  }

  /** Reads back to the newest snapshot, cuts what an interrupted write left, and removes files without content. */
  recover(): LaneRecovery {
    const numbers = this.list();
    let frames: readonly Frame[] = [];
    let damaged = 0;
    let isLast = true;
    while (numbers.length > 0 && frames[0]?.kind !== frameKinds.snapshot) {
      const number = numbers.pop() ?? 0;
      const content = readFileSync(this.file(number));
      const segment = readSegment(content);
      damaged += segment?.damaged ?? countUnreadable(content);
      if (segment === undefined || segment.frames.length === 0) {
        this.#setAside(number);
        continue;
      }
      if (isLast) cutFile(this.file(number), segment.validBytes);
      isLast = false;
      frames = [...segment.frames, ...frames];
    }
    return { frames, damaged };
  }

  savePosition(position: SavedPosition): void {
    const text = `${String(position.number).padStart(16, '0')} ${String(position.offset).padStart(16, '0')}\n`;
    try {
      writeFileSync(this.#positionFile(), text, { mode: 0o600 });
    } catch (thrown) {
      this.#logger.debug({ err: thrown }, 'spool position not saved; more will be sent again');
    }
  }

  /** Undefined where none is saved or it is not understood: then records are sent again, which is harmless. */
  loadPosition(): SavedPosition | undefined {
    try {
      const [, number, offset] =
        /^(\d{16}) (\d{16})\n$/.exec(readFileSync(this.#positionFile(), 'utf8')) ?? [];
      return number === undefined ? undefined : { number: Number(number), offset: Number(offset) };
    } catch {
      return undefined;
    }
  }

  /** A segment without a frame: its owner died while making it, or it is not ours. */
  #setAside(number: number): void {
    const path = this.file(number);
    this.#logger.warn({ segment: number }, 'spool segment without content set aside');
    rmSync(this.#positionFile(), { force: true });
    if (statSync(path).size <= fileHeader.length) rmSync(path);
    else renameSync(path, `${path}.damaged`);
  }

  #positionFile(): string {
    return join(this.#dir, 'acknowledged');
  }
}

/** A file that is not even a header long was being made when its owner died. */
function countUnreadable(content: Buffer): number {
  return content.length < fileHeader.length ? 0 : 1;
}

function cutFile(path: string, size: number): void {
  if (statSync(path).size === size) return;
  const fd = openSync(path, 'r+');
  ftruncateSync(fd, size);
  closeSync(fd);
}
