/**
 * What a client asks for (PostgreSQL §55.7). Names are text with one character for each byte, cut to the 63 bytes that a
 * server tells apart. Every function throws WireError for a body that a server would not accept either.
 */
import { BodyReader } from './body-reader.js';
import type { Piece } from './message-reader.js';
import { headBytes } from './message-types.js';
import { maxNameBytes, Statement } from './statement.js';
import { WireError } from './wire-error.js';

/** The text of a whole Query. */
export function parseQuery(piece: Piece): Statement {
  const body = bodyOf(piece);
  const text = body.textBytes();
  body.finish();
  return Statement.of(text);
}

/** Name and text of a whole Parse. */
export function parseParse(piece: Piece): { readonly name: string; readonly statement: Statement } {
  const body = bodyOf(piece);
  const name = body.text(maxNameBytes);
  const text = body.textBytes();
  skipItems(body, 4);
  body.finish();
  return { name, statement: Statement.of(text) };
}

/** The names in a Bind; its `begin` is enough, as long as they lie in it. */
export function parseBind(piece: Piece): { readonly portal: string; readonly statement: string } {
  const body = bodyOf(piece);
  return { portal: body.text(maxNameBytes), statement: body.text(maxNameBytes) };
}

/** A parameter of a Bind. */
export interface BoundValue {
  /** Text as the client encodes it, or the type's binary form. */
  readonly format: 'text' | 'binary';
  /** The first bytes of the value; undefined for NULL. */
  readonly bytes: Buffer | undefined;
  readonly valueBytes: number;
}

/** How much of the values of one Bind is kept. */
export interface BoundValueLimits {
  readonly maxValues: number;
  readonly maxValueBytes: number;
}

/** The values of a whole Bind, copied; those beyond `maxValues` are left out. */
export function parseBoundValues(piece: Piece, limits: BoundValueLimits): BoundValue[] {
  const body = bodyOf(piece);
  body.textBytes();
  body.textBytes();
  const formats = readFormats(body);
  const count = body.int16() & 0xffff;
  const values: BoundValue[] = [];
  for (let index = 0; index < count; index += 1) {
    const length = body.int32();
    const value = length === -1 ? undefined : body.bytes(length);
    if (index >= limits.maxValues) continue;
    values.push({
      format: formats(index),
      bytes: value && Buffer.from(value.subarray(0, limits.maxValueBytes)),
      valueBytes: value?.length ?? 0,
    });
  }
  skipItems(body, 2);
  body.finish();
  return values;
}

/** No code: all text. One: for all. Else one each. */
function readFormats(body: BodyReader): (index: number) => 'text' | 'binary' {
  const count = body.int16() & 0xffff;
  const codes = body.bytes(count * 2);
  return (index) => {
    const at = count === 1 ? 0 : index;
    return at < count && codes.readInt16BE(at * 2) === 1 ? 'binary' : 'text';
  };
}

/** The portal of an Execute. */
export function parseExecute(piece: Piece): string {
  const body = bodyOf(piece);
  const portal = body.text(maxNameBytes);
  body.int32();
  body.finish();
  return portal;
}

/**
 * Which function a FunctionCall calls, as text: it has none of its own, and names the function by its number in pg_proc. Its
 * `begin` is enough.
 */
export function parseFunctionCall(piece: Piece): Statement {
  const oid = bodyOf(piece).int32() >>> 0;
  return Statement.of(Buffer.from(`function call ${oid}`));
}

/** What a Close is about. */
export function parseClose(piece: Piece): {
  readonly kind: 'statement' | 'portal';
  readonly name: string;
} {
  const body = bodyOf(piece);
  const kind = body.byte();
  const name = body.text(maxNameBytes);
  body.finish();
  if (kind !== 0x53 && kind !== 0x50) throw new WireError('a Close names neither kind');
  return { kind: kind === 0x53 ? 'statement' : 'portal', name };
}

function skipItems(body: BodyReader, itemBytes: number): void {
  const count = body.int16() & 0xffff;
  body.skip(count * itemBytes);
}

function bodyOf(piece: Piece): BodyReader {
  return new BodyReader(piece.source, piece.start + headBytes, piece.end);
}
