/** What a client asks to be executed, parsed or called. */
import type { Piece } from '../wire/message-reader.js';
import { frontendType, headBytes } from '../wire/message-types.js';
import type { Statement } from '../wire/statement.js';

/** A message with a text or a name that is to be executed. */
export interface Asked {
  readonly piece: Piece;
  readonly kind: 'query' | 'parse' | 'execute' | 'function';
  /** Of a Parse the statement's, of an Execute the portal's. */
  readonly name: string;
  readonly statement: Statement | undefined;
}

/** As the audit is told of it. */
export function toExecution({ kind, statement }: Asked) {
  return { kind, statement };
}

/** The text of a message that holds more of it than is kept. */
export function findText(piece: Piece, kind: Asked['kind']): Uint8Array | undefined {
  if (kind !== 'query' && kind !== 'parse') return undefined;
  const start = piece.start + headBytes;
  const from = kind === 'query' ? start : piece.source.indexOf(0, start) + 1;
  return piece.source.subarray(from, piece.source.indexOf(0, from));
}

/** Not what a server takes notice of in every state, or never: ends of COPY data, Sync, Terminate, and what goes by in runs. */
export function startsRequest({ kind, type }: Piece): boolean {
  return (kind === 'message' || kind === 'begin') && !passesAlways.has(type);
}

const passesAlways: ReadonlySet<number> = new Set([
  frontendType.sync,
  frontendType.copyDone,
  frontendType.copyFail,
  frontendType.terminate,
]);
