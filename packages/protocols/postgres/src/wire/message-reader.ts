/**
 * Cuts one direction of a connection into messages (PostgreSQL §55.2.1), however the bytes were split on their way.
 *
 * Only types with an entry in `wholeBytes` are shown one by one. Everything between two of them is one `run`, so that a
 * chunk of rows costs a walk over its heads and nothing else. What `next` gives, put end to end, is what `push` was
 * given; at most one message (as long as its type's `wholeBytes`) or the head of one is held back.
 */
import { headBytes, type TypeTable } from './message-types.js';
import { WireError } from './wire-error.js';

/** How much of a message too long to be collected is there when it is announced. */
const announcedBytes = 16 * 1024;
/** The first buffer for a message that is collected; it doubles as bytes come, never ahead of them. */
const firstBufferBytes = 4 * 1024;

/**
 * Part of the stream: bytes `start` to `end` of `source`, which stays as it is while anybody holds it.
 *
 * - `run`: messages of other types, beginning and ending anywhere.
 * - `message`: one whole message.
 * - `begin`: a message that is not all there; its `more` follow, the last with `isLast`. At least its head is there,
 *   and 16 KiB of it where `wholeBytes` allows as much.
 */
export class Piece {
  // oxlint-disable-next-line max-params -- made for every message: an options object would be a second one
  constructor(
    readonly kind: 'run' | 'message' | 'begin' | 'more',
    /** Type byte; 0 for a run. */
    readonly type: number,
    readonly source: Buffer,
    readonly start: number,
    readonly end: number,
    /** Message heads that lie in a run (or end in it): bytes less five for each are what its messages carry. */
    readonly heads: number,
    /** The end of a message, or of a run, is the end of this piece. */
    readonly isLast: boolean,
  ) {}

  get length(): number {
    return this.end - this.start;
  }

  /** A view, head included. */
  get bytes(): Buffer {
    return this.source.subarray(this.start, this.end);
  }
}

export interface MessageReaderOptions {
  /** Longest frame of each type; 0: no such type. @see frontendLimits, backendLimits */
  readonly limits: TypeTable;
  /**
   * 0: passes in runs. Else the type is shown by itself: as one `message` where it is no longer than this or lies in
   * one chunk, as `begin` and `more` where not.
   */
  readonly wholeBytes: TypeTable;
}

/** One direction of a connection. Take every piece after each `push`. */
export class MessageReader {
  private readonly limits: TypeTable;
  private readonly wholeBytes: TypeTable;
  private chunk: Buffer = Buffer.alloc(0);
  private position = 0;
  /** What is missing of a message of which a part has been given. */
  private bodyLeft = 0;
  /** The type whose `more` those missing bytes are; 0: they belong to a run. */
  private bodyType = 0;
  /** Bytes held back because the head is not whole, or the message is being collected. */
  private held: Buffer = Buffer.alloc(0);
  private heldBytes = 0;

  constructor(options: MessageReaderOptions) {
    this.limits = options.limits;
    this.wholeBytes = options.wholeBytes;
  }

  /** True where what was given so far ends with a message: only here may one be put in. */
  get isAtBoundary(): boolean {
    return this.bodyLeft === 0;
  }

  /** The chunk has not been read to its end. */
  get hasMore(): boolean {
    return this.position < this.chunk.length;
  }

  /** Takes ownership of `chunk`: nobody may write to it any more. The chunk before must have been read to its end. */
  push(chunk: Buffer): void {
    this.chunk = chunk;
    this.position = 0;
  }

  /**
   * The next piece, or undefined when more bytes are needed.
   *
   * @throws WireError for an unknown type or an impossible length
   */
  next(): Piece | undefined {
    if (this.position >= this.chunk.length) return undefined;
    if (this.heldBytes > 0) return this.nextHeld();
    if (this.bodyLeft > 0 && this.bodyType !== 0) return this.nextMore();
    return this.walk();
  }

  /** From message to message until one is wanted, or the chunk ends. */
  private walk(): Piece | undefined {
    const { chunk } = this;
    const start = this.position;
    let at = start + this.bodyLeft;
    let heads = 0;
    while (at + headBytes <= chunk.length) {
      const type = chunk[at] ?? 0;
      const length = this.frameLength(chunk, at);
      if (this.wholeBytes[type] !== 0) {
        this.bodyLeft = 0;
        return at > start ? this.giveRun(at, heads) : this.nextWanted(type, length);
      }
      at += length;
      heads += 1;
    }
    this.bodyLeft = Math.max(0, at - chunk.length);
    this.bodyType = 0;
    const end = Math.min(at, chunk.length);
    const run = end > start ? this.giveRun(end, heads) : undefined;
    if (run === undefined) this.hold(chunk.length);
    return run;
  }

  private nextWanted(type: number, length: number): Piece | undefined {
    const there = this.chunk.length - this.position;
    if (length <= there) return this.giveMessage(type, length);
    if (there < this.neededBytes(type, length)) {
      this.hold(this.chunk.length);
      return undefined;
    }
    this.bodyLeft = length - there;
    this.bodyType = type;
    return this.give('begin', this.chunk.length);
  }

  /** Goes on with what was held back: first its head, then as much as is wanted of it. */
  private nextHeld(): Piece | undefined {
    if (this.heldBytes < headBytes) {
      this.hold(this.position + headBytes - this.heldBytes);
      if (this.heldBytes < headBytes) return undefined;
    }
    const type = this.held[0] ?? 0;
    const length = this.frameLength(this.held, 0);
    const needed = this.wholeBytes[type] === 0 ? headBytes : this.neededBytes(type, length);
    this.hold(this.position + needed - this.heldBytes);
    return this.heldBytes < needed ? undefined : this.giveHeld(type, length);
  }

  private giveHeld(type: number, length: number): Piece {
    const bytes = this.held.subarray(0, this.heldBytes);
    this.held = Buffer.alloc(0);
    this.heldBytes = 0;
    this.bodyLeft = length - bytes.length;
    const isLast = this.bodyLeft === 0;
    if (this.wholeBytes[type] === 0) {
      this.bodyType = 0;
      return new Piece('run', 0, bytes, 0, bytes.length, 1, isLast);
    }
    this.bodyType = type;
    return new Piece(isLast ? 'message' : 'begin', type, bytes, 0, bytes.length, 1, isLast);
  }

  private nextMore(): Piece {
    const end = Math.min(this.chunk.length, this.position + this.bodyLeft);
    this.bodyLeft -= end - this.position;
    return this.give('more', end);
  }

  private giveMessage(type: number, length: number): Piece {
    this.bodyType = type;
    return this.give('message', this.position + length);
  }

  private give(kind: 'message' | 'begin' | 'more', end: number): Piece {
    const start = this.position;
    this.position = end;
    const heads = kind === 'more' ? 0 : 1;
    return new Piece(kind, this.bodyType, this.chunk, start, end, heads, this.bodyLeft === 0);
  }

  private giveRun(end: number, heads: number): Piece {
    const start = this.position;
    this.position = end;
    return new Piece('run', 0, this.chunk, start, end, heads, this.bodyLeft === 0);
  }

  /** Keeps bytes of the chunk back, up to `end` or what there is. */
  private hold(end: number): void {
    const count = Math.min(end, this.chunk.length) - this.position;
    const needed = this.heldBytes + count;
    if (needed > this.held.length) {
      const room = Math.max(needed, this.heldBytes < headBytes ? headBytes : firstBufferBytes);
      const larger = Buffer.allocUnsafe(Math.max(room, this.held.length * 2));
      this.held.copy(larger, 0, 0, this.heldBytes);
      this.held = larger;
    }
    this.chunk.copy(this.held, this.heldBytes, this.position, this.position + count);
    this.heldBytes += count;
    this.position += count;
  }

  /** How much of a message is held back until it is there. */
  private neededBytes(type: number, length: number): number {
    const whole = this.wholeBytes[type] ?? 0;
    return length <= whole ? length : Math.max(headBytes, Math.min(whole, announcedBytes));
  }

  private frameLength(source: Buffer, at: number): number {
    const stated = source.readUInt32BE(at + 1);
    const limit = this.limits[source[at] ?? 0] ?? 0;
    if (stated < 4 || stated >= limit) throw impossible(limit);
    return stated + 1;
  }
}

function impossible(limit: number): WireError {
  return new WireError(
    limit === 0 ? 'a message is of an unknown type' : 'a message has an impossible length',
  );
}
