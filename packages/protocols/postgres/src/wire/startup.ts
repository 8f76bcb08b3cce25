/**
 * The first packet of a client, which alone has no type byte (PostgreSQL §55.2.1, §55.2.8, §55.2.10, §55.2.11, §55.7).
 *
 * Names and values of parameters are text with one character for each byte (latin1): nothing is decoded, so nothing can
 * become equal that was not, and what is encoded again is what came.
 */
import type { BackendKey } from './backend.js';
import { BodyReader } from './body-reader.js';
import { WireError } from './wire-error.js';

/** A server takes no longer one. */
const maxPacketBytes = 10_000;
const minPacketBytes = 8;
const cancelCode = 80_877_102;
const sslCode = 80_877_103;
const gssCode = 80_877_104;

export interface StartupParameter {
  readonly name: string;
  readonly value: string;
}

export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gss' }
  | { readonly kind: 'cancel'; readonly key: BackendKey }
  | {
      readonly kind: 'startup';
      /** Of protocol 3. */
      readonly minor: number;
      /** As they came; no name is there twice. */
      readonly parameters: readonly StartupParameter[];
    };

/**
 * Length of the packet that `bytes` begin with, itself included; undefined as long as that is not known.
 *
 * @throws WireError for one outside 8 to 10,000 bytes
 */
export function startupPacketLength(bytes: Buffer): number | undefined {
  if (bytes.length < 4) return undefined;
  const length = bytes.readUInt32BE(0);
  if (length < minPacketBytes || length > maxPacketBytes) {
    throw new WireError('the first packet has an impossible length');
  }
  return length;
}

/**
 * @param packet exactly as many bytes as `startupPacketLength` said
 * @throws WireError
 */
export function parseStartupPacket(packet: Buffer): StartupPacket {
  const body = new BodyReader(packet, 4);
  const code = body.int32();
  if (code === cancelCode) return { kind: 'cancel', key: parseCancelKey(body) };
  if (code === sslCode || code === gssCode) {
    body.finish();
    return { kind: code === sslCode ? 'ssl' : 'gss' };
  }
  if (code >> 16 !== 3) throw new WireError('the protocol version is not 3');
  return { kind: 'startup', minor: code & 0xffff, parameters: parseParameters(body) };
}

function parseCancelKey(body: BodyReader): BackendKey {
  const processId = body.int32();
  if (body.remaining < 4 || body.remaining > 256) throw new WireError('a cancel key has no length');
  return { processId, secret: Buffer.from(body.bytes(body.remaining)) };
}

function parseParameters(body: BodyReader): StartupParameter[] {
  const parameters: StartupParameter[] = [];
  const names = new Set<string>();
  for (let name = body.text(); name !== ''; name = body.text()) {
    if (names.has(name)) throw new WireError('a startup parameter is there twice');
    names.add(name);
    parameters.push({ name, value: body.text() });
  }
  body.finish();
  return parameters;
}

/** A StartupMessage of protocol 3. @throws RangeError for a parameter that holds NUL, has no name or no room */
export function encodeStartupMessage(
  minor: number,
  parameters: readonly StartupParameter[],
): Buffer {
  const fields = parameters.map(({ name, value }) => {
    if (name === '' || name.includes('\0') || value.includes('\0')) {
      throw new RangeError('a startup parameter cannot be sent');
    }
    return `${name}\0${value}\0`;
  });
  const body = Buffer.from(`${fields.join('')}\0`, 'latin1');
  const head = Buffer.alloc(8);
  head.writeUInt32BE(head.length + body.length, 0);
  head.writeUInt32BE(3 * 0x1_0000 + minor, 4);
  if (head.length + body.length > maxPacketBytes) throw new RangeError('too many parameters');
  return Buffer.concat([head, body]);
}

/** Asks a server, on a connection of its own, to cancel what the session with this key is doing. */
export function encodeCancelRequest(key: BackendKey): Buffer {
  const packet = Buffer.alloc(12 + key.secret.length);
  packet.writeUInt32BE(packet.length, 0);
  packet.writeUInt32BE(cancelCode, 4);
  packet.writeInt32BE(key.processId, 8);
  key.secret.copy(packet, 12);
  return packet;
}

/** Names of the protocol extensions that a client asked for. None is known, and the client must be told. */
export function protocolExtensions(parameters: readonly StartupParameter[]): string[] {
  return parameters.map(({ name }) => name).filter((name) => name.startsWith('_pq_.'));
}
