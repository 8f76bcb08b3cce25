/** What a server answers (PostgreSQL §55.7), as far as it is told on. */
import { BodyReader } from './body-reader.js';
import type { Piece } from './message-reader.js';
import { headBytes } from './message-types.js';
import { WireError } from './wire-error.js';

/** What a statement did. */
export interface CommandTag {
  /** `SELECT`, `CREATE TABLE`, …: one character for each byte. */
  readonly command: string;
  /** Undefined where the command does not count any. */
  readonly rows: number | undefined;
}

/** Longer tags are cut; a server's own have at most 64 bytes. */
const maxTagBytes = 64;

/** @throws WireError for a tag without an end */
export function parseCommandComplete(piece: Piece): CommandTag {
  const tag = bodyOf(piece).text(maxTagBytes);
  const counted = withoutNumber(tag);
  if (counted.length === tag.length) return { command: tag, rows: undefined };
  // `INSERT` has an object id in front of its count.
  return { command: withoutNumber(counted), rows: Number(tag.slice(counted.length + 1)) };
}

/** Without the blank and the digits at the end, if they are there. */
function withoutNumber(tag: string): string {
  let at = tag.length;
  while (at > 0 && isDigit(tag.charCodeAt(at - 1))) at -= 1;
  return at < tag.length && tag.charCodeAt(at - 1) === 0x20 ? tag.slice(0, at - 1) : tag;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** The fields of an ErrorResponse that the audit keeps (PostgreSQL §55.8). Text is one character for each byte. */
export interface ServerError {
  /** `ERROR`, `FATAL` or `PANIC`, never translated; the latter two end the connection. */
  readonly severity: string;
  /** Five characters; `57014`: cancelled. */
  readonly sqlstate: string;
  /** At most 1 KiB. */
  readonly message: string;
}

const maxErrorTextBytes = 1024;

/** Takes what there is: of a longer message its `begin` is enough. */
export function parseErrorResponse(piece: Piece): ServerError {
  const body = bodyOf(piece);
  const fields = { S: '', V: '', C: '', M: '' };
  while (body.remaining > 0) {
    const code = String.fromCharCode(body.byte());
    if (code === '\0' || !hasEnd(body, piece)) break;
    const text = body.text(maxErrorTextBytes);
    if (code === 'S' || code === 'V' || code === 'C' || code === 'M') fields[code] = text;
  }
  return { severity: fields.V || fields.S, sqlstate: fields.C, message: fields.M };
}

/** The last field of a message that is not all there may be cut. */
function hasEnd(body: BodyReader, piece: Piece): boolean {
  return piece.source.subarray(piece.end - body.remaining, piece.end).includes(0);
}

/** What a client must show to cancel a statement: 4 bytes of secret up to protocol 3.0, up to 256 from 3.2 on. */
export interface BackendKey {
  readonly processId: number;
  readonly secret: Buffer;
}

export function parseBackendKeyData(piece: Piece): BackendKey {
  const body = bodyOf(piece);
  const processId = body.int32();
  if (body.remaining < 4 || body.remaining > 256) throw new WireError('a cancel key has no length');
  return { processId, secret: Buffer.from(body.bytes(body.remaining)) };
}

/** Name and value of a ParameterStatus, one character for each byte. */
export function parseParameterStatus(piece: Piece): {
  readonly name: string;
  readonly value: string;
} {
  const body = bodyOf(piece);
  const status = { name: body.text(), value: body.text() };
  body.finish();
  return status;
}

/** The one byte of a ReadyForQuery: `I` idle, `T` in a transaction, `E` in a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E';

export function parseReadyForQuery(piece: Piece): TransactionStatus {
  switch (bodyOf(piece).byte()) {
    case 0x49:
      return 'I';
    case 0x54:
      return 'T';
    case 0x45:
      return 'E';
    default:
      throw new WireError('a transaction status is none');
  }
}

function bodyOf(piece: Piece): BodyReader {
  return new BodyReader(piece.source, piece.start + headBytes, piece.end);
}
