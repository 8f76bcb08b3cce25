/**
 * Reads server name and ALPN out of a TLS ClientHello (RFC 8446 §4.1.2) without ending TLS, so that a connection can be
 * passed on to the service it is for.
 */

export interface ClientHello {
  /** server_name (RFC 6066 §3), lower case. */
  readonly serverName?: string;
  /** application_layer_protocol_negotiation (RFC 7301), in the client's order. */
  readonly protocols: readonly string[];
}

/** `more`: not all here yet. `bad`: no ClientHello. */
export type ClientHelloResult = ClientHello | 'more' | 'bad';

const recordHeaderBytes = 5;
const handshakeRecord = 0x16;
const clientHelloType = 1;
const serverNameExtension = 0;
const alpnExtension = 16;

/** A cursor over bytes that never reads past their end: what is missing is an exception of one kind. */
class Reader {
  #at = 0;
  readonly #bytes: Buffer;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  get left(): number {
    return this.#bytes.length - this.#at;
  }
  uint(size: 1 | 2 | 3): number {
    const value = this.take(size).readUIntBE(0, size);
    return value;
  }
  take(size: number): Buffer {
    if (size > this.left) throw new RangeError('too short');
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }
  vector(lengthSize: 1 | 2 | 3): Reader {
    return new Reader(this.take(this.uint(lengthSize)));
  }
}

/** Joins the handshake bytes of the records at the start of `bytes`; a hello may be spread over several. */
function joinRecords(bytes: Buffer): Buffer | 'bad' {
  const parts: Buffer[] = [];
  let at = 0;
  while (at + recordHeaderBytes <= bytes.length) {
    if (bytes[at] !== handshakeRecord || bytes[at + 1] !== 3) return 'bad';
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > 1 << 14) return 'bad';
    parts.push(bytes.subarray(at + recordHeaderBytes, at + recordHeaderBytes + length));
    at += recordHeaderBytes + length;
  }
  return Buffer.concat(parts);
}

/** Never throws; allocates no more than `bytes` holds. */
export function parseClientHello(bytes: Buffer): ClientHelloResult {
  const handshake = joinRecords(bytes);
  if (handshake === 'bad') return 'bad';
  if (handshake.length < 4) return 'more';
  if (handshake[0] !== clientHelloType) return 'bad';
  const length = handshake.readUIntBE(1, 3);
  if (handshake.length < 4 + length) return 'more';
  try {
    return readHello(new Reader(handshake.subarray(4, 4 + length)));
  } catch {
    return 'bad';
  }
}

function readHello(hello: Reader): ClientHello {
  hello.take(2 + 32);
  hello.vector(1);
  hello.vector(2);
  hello.vector(1);
  const found: { serverName?: string; protocols: string[] } = { protocols: [] };
  if (hello.left === 0) return found;
  const extensions = hello.vector(2);
  while (extensions.left > 0) {
    const type = extensions.uint(2);
    const body = extensions.vector(2);
    if (type === alpnExtension) found.protocols = readProtocols(body.vector(2));
    if (type === serverNameExtension) {
      const name = readServerName(body.vector(2));
      if (name !== undefined) found.serverName = name;
    }
  }
  return found;
}

function readProtocols(list: Reader): string[] {
  const protocols: string[] = [];
  while (list.left > 0) {
    const name = list.vector(1);
    protocols.push(name.take(name.left).toString('latin1'));
  }
  return protocols;
}

function readServerName(list: Reader): string | undefined {
  while (list.left > 0) {
    const type = list.uint(1);
    const name = list.vector(2);
    if (type === 0) return name.take(name.left).toString('latin1').toLowerCase();
  }
  return undefined;
}
