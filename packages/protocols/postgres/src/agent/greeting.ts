/**
 * What a server says until it is ready (PostgreSQL §55.2.1), checked before `pg` hears it: the parser of `pg` throws, or
 * never ends, at what is malformed.
 */
import type { Duplex } from 'node:stream';

import { parseBackendKeyData, parseParameterStatus, parseReadyForQuery } from '../wire/backend.js';
import { BodyReader } from '../wire/body-reader.js';
import { MessageReader, type Piece } from '../wire/message-reader.js';
import { backendType, createTypeTable, headBytes } from '../wire/message-types.js';
import { WireError } from '../wire/wire-error.js';
import { loginFailed } from './login-failed.js';

/** What a server may say before it is ready, bytes: its parameters and notices of a login. */
const maxGreetingBytes = 1024 * 1024;
/** Words, and values of parameters. */
const textBytes = 64 * 1024;

/**
 * Longest frame of each type that belongs to a login. The startup message asks for protocol 3.0 and for no extension, so
 * that there is nothing to negotiate.
 */
const limits = createTypeTable([
  // No longer one is taken by libpq either.
  [backendType.authentication, 2000 + 1],
  [backendType.backendKeyData, headBytes + 8],
  [backendType.errorResponse, textBytes],
  [backendType.noticeResponse, textBytes],
  [backendType.parameterStatus, textBytes],
  [backendType.readyForQuery, headBytes + 1],
]);

/** Of those that are no authentication. */
const checks: ReadonlyMap<number, (piece: Piece) => unknown> = new Map([
  [backendType.backendKeyData, parseBackendKeyData],
  [backendType.errorResponse, checkFields],
  [backendType.noticeResponse, checkFields],
  [backendType.parameterStatus, parseParameterStatus],
  [backendType.readyForQuery, parseReadyForQuery],
]);

/** What `pg` acts upon. */
const actedUpon: ReadonlySet<number> = new Set([
  backendType.authentication,
  backendType.errorResponse,
  backendType.readyForQuery,
]);
/** May come before AuthenticationOk. */
const early: ReadonlySet<number> = new Set([backendType.errorResponse, backendType.noticeResponse]);

/** The codes of Authentication… messages (PostgreSQL §55.7) that `pg` has an answer to. */
const authentication = {
  ok: 0,
  cleartextPassword: 3,
  md5Password: 5,
  sasl: 10,
  saslContinue: 11,
  saslFinal: 12,
} as const;

/** The beginning of one connection. */
export class Greeting {
  readonly #reader = new MessageReader({ limits, wholeBytes: limits });
  readonly #codes = new Set<number>();
  readonly #kept: Buffer[] = [];
  #pushedBytes = 0;
  #givenBytes = 0;
  #isOver = false;

  /** What follows AuthenticationOk, with all that came along with ReadyForQuery. */
  get said(): Buffer {
    return Buffer.concat(this.#kept);
  }

  /** Takes what comes on `stream` until the server is ready or refuses; only whole, checked messages are told. */
  listen(stream: Duplex, tell: (message: Buffer) => void): void {
    const onData = (chunk: Buffer) => {
      try {
        for (const message of this.#read(chunk)) {
          tell(message);
          if (stream.destroyed) return;
        }
      } catch (thrown) {
        stream.destroy(explainBreach(thrown));
      }
      if (!this.#isOver) return;
      stream.pause();
      stream.off('data', onData);
    };
    stream.on('data', onData);
  }

  *#read(chunk: Buffer): Generator<Buffer> {
    this.#reader.push(chunk);
    this.#pushedBytes += chunk.length;
    while (!this.#isOver) {
      const piece = this.#reader.next();
      if (piece === undefined) return;
      this.#givenBytes += piece.length;
      if (this.#givenBytes > maxGreetingBytes) throw new WireError('a greeting has no end');
      this.#keep(piece, chunk);
      if (actedUpon.has(piece.type)) yield piece.bytes;
    }
  }

  /** @throws WireError for what is no part of a login */
  #keep(piece: Piece, chunk: Buffer): void {
    const isLetIn = this.#codes.has(authentication.ok);
    if (piece.type === backendType.authentication) {
      if (isLetIn) throw new WireError('a login is asked for twice');
      this.#noteCode(checkAuthentication(piece));
      return;
    }
    if (!isLetIn && !early.has(piece.type)) throw new WireError('a login is over before it began');
    checks.get(piece.type)?.(piece);
    if (isLetIn) this.#kept.push(piece.bytes);
    if (piece.type === backendType.errorResponse) this.#isOver = true;
    if (piece.type !== backendType.readyForQuery) return;
    this.#isOver = true;
    const rest = this.#pushedBytes - this.#givenBytes;
    this.#kept.push(chunk.subarray(chunk.length - rest));
  }

  /** Each once: what one of them costs, no server has many times. */
  #noteCode(code: number): void {
    if (this.#codes.has(code)) throw new WireError('a login is asked for twice');
    this.#codes.add(code);
  }
}

function explainBreach(thrown: unknown): Error {
  if (thrown instanceof WireError) return protocolBroken(thrown.message, thrown);
  return thrown instanceof Error ? thrown : protocolBroken(String(thrown), thrown);
}

/** What a server says is none that PostgreSQL says. */
export function protocolBroken(why: string, cause?: unknown): Error {
  return loginFailed(`the database server breaks the protocol: ${why}`, cause);
}

/** Its code. */
function checkAuthentication(piece: Piece): number {
  const body = bodyOf(piece);
  const code = body.int32();
  switch (code) {
    case authentication.saslContinue:
    case authentication.saslFinal:
      // A text without an end, which SCRAM checks.
      return code;
    case authentication.sasl:
      while (body.text() !== '');
      break;
    case authentication.md5Password:
      body.skip(4);
      break;
    case authentication.ok:
    case authentication.cleartextPassword:
      break;
    default:
      throw loginFailed('the database asks for a way to log in that its agent does not have');
  }
  body.finish();
  return code;
}

/** Fields of a code and a text each, and the NUL behind the last (PostgreSQL §55.8). */
function checkFields(piece: Piece): void {
  const body = bodyOf(piece);
  while (body.byte() !== 0) body.textBytes();
  body.finish();
}

function bodyOf(piece: Piece): BodyReader {
  return new BodyReader(piece.source, piece.start + headBytes, piece.end);
}
