/**
 * Space on the disk that is kept for what must be written when the disk is full: a file of zeros, given up then. That it
 * can be made again is also how a lane knows that there is room again.
 */
import { closeSync, fdatasyncSync, openSync, rmSync, statSync, writeSync } from 'node:fs';

const blockBytes = 64 * 1024;

export class DiskReserve {
  readonly #path: string;
  readonly #bytes: number;

  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  /** True where the space was there to be given up. */
  release(): boolean {
    const isThere = statSync(this.#path, { throwIfNoEntry: false }) !== undefined;
    rmSync(this.#path, { force: true });
    return isThere;
  }

  /** Takes the space; false where the disk has not got it. */
  fill(): boolean {
    if (statSync(this.#path, { throwIfNoEntry: false })?.size === this.#bytes) return true;
    try {
      this.#write();
      return true;
    } catch {
      rmSync(this.#path, { force: true });
      return false;
    }
  }

  #write(): void {
    const fd = openSync(this.#path, 'w', 0o600);
    try {
      const block = Buffer.alloc(blockBytes);
      for (let at = 0; at < this.#bytes; at += blockBytes) {
        const length = Math.min(blockBytes, this.#bytes - at);
        if (writeSync(fd, block, 0, length, at) < length) throw new Error('the disk is full');
      }
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}
