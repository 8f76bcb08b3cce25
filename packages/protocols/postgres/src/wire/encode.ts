/** Messages of the proxy's own making (PostgreSQL §55.7). Text is UTF-8; a NUL in it, which would end it early, becomes U+FFFD. */
import type { BackendKey } from './backend.js';
import { backendType, frontendType, headBytes } from './message-types.js';

/** An error in words (PostgreSQL §55.8). */
export interface Report {
  /** FATAL: the connection ends after it. */
  readonly severity: 'FATAL' | 'ERROR';
  /** SQLSTATE, five characters. */
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

export function encodeErrorResponse(report: Report): Buffer {
  const fields = [
    ['S', report.severity],
    ['V', report.severity],
    ['C', report.sqlstate],
    ['M', report.message],
    ['D', report.detail],
    ['H', report.hint],
  ] as const;
  const parts = fields.flatMap(([code, text]) =>
    text === undefined ? [] : [Buffer.from(code), encodeText(text)],
  );
  return encodeMessage(backendType.errorResponse, [...parts, Buffer.of(0)]);
}

export function encodeAuthenticationOk(): Buffer {
  return encodeMessage(backendType.authentication, [encodeInt32(0)]);
}

export function encodeBackendKeyData(key: BackendKey): Buffer {
  return encodeMessage(backendType.backendKeyData, [encodeInt32(key.processId), key.secret]);
}

/**
 * Says which version 3.x is spoken instead of the one asked for.
 *
 * @param options the startup parameters that begin with `_pq_.` and mean nothing to us, one character for each byte
 */
export function encodeNegotiateProtocolVersion(minor: number, options: readonly string[]): Buffer {
  return encodeMessage(backendType.negotiateProtocolVersion, [
    // Documented as the minor version alone; servers write, and libpq reads, the whole of it.
    encodeInt32(3 * 0x1_0000 + minor),
    encodeInt32(options.length),
    ...options.map((option) => Buffer.from(`${option}\0`, 'latin1')),
  ]);
}

export function encodeQuery(text: string): Buffer {
  return encodeMessage(frontendType.query, [encodeText(text)]);
}

/** A Parse that leaves the types of all parameters to the server. @param name one character for each byte */
export function encodeParse(name: string, text: string): Buffer {
  return encodeMessage(frontendType.parse, [
    Buffer.from(`${name}\0`, 'latin1'),
    encodeText(text),
    Buffer.alloc(2),
  ]);
}

/** Asks the server for the answers that it holds back; it has no answer of its own. */
export function encodeFlush(): Buffer {
  return encodeMessage(frontendType.flush, []);
}

function encodeMessage(type: number, parts: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(headBytes);
  head[0] = type;
  const message = Buffer.concat([head, ...parts]);
  message.writeUInt32BE(message.length - 1, 1);
  return message;
}

function encodeInt32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
}

function encodeText(text: string): Buffer {
  return Buffer.from(`${text.replaceAll('\0', '\u{fffd}')}\0`);
}
