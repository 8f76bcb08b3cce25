/** The text of a statement as the audit keeps it: its beginning, and the digest of all of it. */
import { createHash, hash, type Hash } from 'node:crypto';

import type { Piece } from './message-reader.js';
import { headBytes } from './message-types.js';
import { WireError } from './wire-error.js';

/** How much of a statement's text is kept. */
const maxKeptBytes = 64 * 1024;

/** Significant bytes of a name; a server cuts what is longer (PostgreSQL §4.1.1, NAMEDATALEN). */
export const maxNameBytes = 63;

/** What was sent to be executed; bytes as they came, in the encoding of the client. */
export class Statement {
  private digest: string | undefined;

  private constructor(
    /** The text, or its first 64 KiB. */
    readonly text: Buffer,
    /** Length of the whole text. */
    readonly statementBytes: number,
    digest: string | undefined,
  ) {
    this.digest = digest;
  }

  /** Of a text that is all there. Keeps its own copy. */
  static of(text: Buffer): Statement {
    const kept = Buffer.from(text.subarray(0, maxKeptBytes));
    const isWhole = kept.length === text.length;
    return new Statement(kept, text.length, isWhole ? undefined : sha256(text));
  }

  /** Of a text of which only the beginning is at hand. */
  static ofKept(kept: Buffer, statementBytes: number, digest: string): Statement {
    return new Statement(kept, statementBytes, digest);
  }

  get keptBytes(): number {
    return this.text.length;
  }

  get ownBytes(): number {
    return this.text.length;
  }

  get isTruncated(): boolean {
    return this.text.length < this.statementBytes;
  }

  /** Of the whole text, lower-case hex. */
  get sha256(): string {
    this.digest ??= sha256(this.text);
    return this.digest;
  }
}

/** Reads the text out of a Query or Parse that comes in pieces, without ever holding all of it (PostgreSQL §55.7). */
export class StatementCollector {
  private readonly hash: Hash = createHash('sha256');
  private readonly kept = Buffer.allocUnsafe(maxKeptBytes);
  private nameLength = 0;
  private nameText = '';
  private textLength = 0;
  private stage: 'name' | 'text' | 'rest';

  /** @param kind of the message: a Parse has a name in front of its text */
  constructor(kind: 'query' | 'parse') {
    this.stage = kind === 'parse' ? 'name' : 'text';
  }

  /** Takes a piece of the message: the `begin`, then each `more`. */
  push(piece: Piece): void {
    let start = piece.start + (piece.kind === 'begin' ? headBytes : 0);
    if (this.stage === 'name') start = this.takeName(piece.source, start, piece.end);
    if (this.stage === 'text') this.takeText(piece.source, start, piece.end);
  }

  /** @throws WireError when the text had no end */
  finish(): { readonly name: string; readonly statement: Statement } {
    if (this.stage !== 'rest') throw new WireError('a statement has no end');
    const kept = Buffer.from(this.kept.subarray(0, Math.min(this.textLength, maxKeptBytes)));
    return {
      name: this.nameText,
      statement: Statement.ofKept(kept, this.textLength, this.hash.digest('hex')),
    };
  }

  private takeName(source: Buffer, start: number, end: number): number {
    const stop = endOfText(source, start, end);
    const room = maxNameBytes - Math.min(this.nameLength, maxNameBytes);
    this.nameText += source.toString('latin1', start, Math.min(stop, start + room));
    this.nameLength += stop - start;
    if (stop === end) return end;
    this.stage = 'text';
    return stop + 1;
  }

  private takeText(source: Buffer, start: number, end: number): void {
    const stop = endOfText(source, start, end);
    this.hash.update(source.subarray(start, stop));
    if (this.textLength < maxKeptBytes) source.copy(this.kept, this.textLength, start, stop);
    this.textLength += stop - start;
    if (stop < end) this.stage = 'rest';
  }
}

/** Where the text ends: at its NUL, or with the piece. */
function endOfText(source: Buffer, start: number, end: number): number {
  const found = source.subarray(start, end).indexOf(0);
  return found < 0 ? end : start + found;
}

function sha256(bytes: Buffer): string {
  return hash('sha256', bytes);
}
