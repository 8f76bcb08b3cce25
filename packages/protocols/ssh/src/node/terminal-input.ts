import { writeSync } from 'node:fs';
import { Writable } from 'node:stream';

import type { IPty } from '@lydell/node-pty';

/** Waits for a terminal that takes no more, ms: the first, and the longest. */
const shortestWaitMs = 5;
const longestWaitMs = 50;
const endOfInput = Buffer.of(0x04);

type Callback = (error?: Error | null) => void;

/** What node-pty has on every Unix, and its types leave out. */
interface Master {
  readonly fd: number;
  readonly _socket: { readonly destroyed: boolean };
}

function masterOf(pty: IPty): Master {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see Master
  return pty as unknown as Master;
}

/** False once the descriptor of the terminal is closed: its number may be another file's by then. */
export function isTerminalOpen(pty: IPty): boolean {
  return !masterOf(pty)._socket.destroyed;
}

/**
 * What is typed at a terminal. `pty.write` would stop the event loop for as long as the program does not read: libuv
 * takes a terminal's master for a file whose writes block, and asks without a pause while it is full. Here the
 * descriptor, which does not block, is written on the loop's own thread, where nobody can close it meanwhile.
 */
export class TerminalInput extends Writable {
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly pty: IPty) {
    super({ decodeStrings: true });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.writeAll(chunk, shortestWaitMs, callback);
  }

  override _final(callback: Callback): void {
    this.writeAll(endOfInput, shortestWaitMs, callback);
  }

  override _destroy(error: Error | null, callback: Callback): void {
    clearTimeout(this.timer);
    callback(error);
  }

  private writeAll(bytes: Buffer, waitMs: number, callback: Callback): void {
    let written: number;
    try {
      // Behind the end of the terminal there is nobody to read it.
      written = isTerminalOpen(this.pty) ? writeSome(masterOf(this.pty).fd, bytes) : bytes.length;
    } catch (thrown) {
      callback(thrown instanceof Error ? thrown : new Error('the terminal failed'));
      return;
    }
    if (written === bytes.length) {
      callback();
      return;
    }
    const nextWaitMs = written > 0 ? shortestWaitMs : Math.min(waitMs * 2, longestWaitMs);
    this.timer = setTimeout(
      () => this.writeAll(bytes.subarray(written), nextWaitMs, callback),
      written > 0 ? shortestWaitMs : waitMs,
    );
  }
}

/** How much of it a full or filling terminal took. @throws what writing fails with otherwise */
function writeSome(fd: number, bytes: Buffer): number {
  try {
    return writeSync(fd, bytes);
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EAGAIN') return 0;
    throw thrown;
  }
}
