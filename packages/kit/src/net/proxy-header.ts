/**
 * The PROXY protocol: who is really at the other end of a connection that a balancer, or our own port, passes on.
 * It proves nothing about anybody: a listener takes it only where its configuration says that it stands behind one.
 * Version 2 is written and read, version 1 only read. Our own hops add TLV 0xE0, the id of the proxy that passed the
 * connection on (D18).
 *
 * @see https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
 */
import type { Socket } from 'node:net';

import type { GatehouseError } from '../errors/errors.js';
import { netError } from './errors.js';
import { formatIpAddress, mappedPrefix, parseIpAddress } from './ip-address.js';

/** One end of a connection. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** What a PROXY header says. Without `source` the sender speaks for itself (LOCAL, UNKNOWN). */
export interface ProxyHeader {
  readonly source?: Endpoint;
  readonly destination?: Endpoint;
  /** TLV 0xE0: the proxy that passed the connection on, `srv_…`. */
  readonly proxyId?: string;
}

/** Longest part after the fixed 16 bytes of a version 2 header that is read. */
export const maxProxyHeaderBytes = 2048;

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const fixedBytes = 16;
const maxLineBytes = 107;
const proxyIdType = 0xe0;
const checksumType = 0x03;

/** A version 2 header. An address that is no IP address makes it a LOCAL one: the receiver then uses the real peer. */
export function encodeProxyHeader(header: ProxyHeader): Buffer {
  const addresses = encodeAddresses(header);
  const id = Buffer.from(header.proxyId ?? '', 'latin1');
  const tlv = Buffer.alloc(id.length === 0 ? 0 : 3 + id.length);
  if (id.length > 0) {
    tlv.writeUInt8(proxyIdType, 0);
    tlv.writeUInt16BE(id.length, 1);
    id.copy(tlv, 3);
  }
  const fixed = Buffer.alloc(fixedBytes);
  signature.copy(fixed);
  fixed.writeUInt8(addresses.length === 0 ? 0x20 : 0x21, 12);
  fixed.writeUInt8(addresses.length === 0 ? 0x00 : addresses.length === 12 ? 0x11 : 0x21, 13);
  fixed.writeUInt16BE(addresses.length + tlv.length, 14);
  return Buffer.concat([fixed, addresses, tlv]);
}

function encodeAddresses({ source, destination }: ProxyHeader): Buffer {
  const from = source && parseIpAddress(source.address);
  if (!source || !from) return Buffer.alloc(0);
  const to = (destination && parseIpAddress(destination.address)) ?? Buffer.alloc(from.length);
  const size = Math.max(from.length, to.length);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination?.port ?? 0, 2);
  return Buffer.concat([widen(from, size), widen(to, size), ports]);
}

function widen(address: Buffer, size: number): Buffer {
  return address.length === size ? address : Buffer.concat([mappedPrefix, address]);
}

/**
 * Reads a header (version 1 or 2) at the start of `bytes`. Undefined: it is not complete yet.
 * @throws PROXY_HEADER_INVALID as soon as the bytes can't become a valid header
 */
export function parseProxyHeader(
  bytes: Buffer,
): { readonly header: ProxyHeader; readonly length: number } | undefined {
  const seen = Math.min(bytes.length, signature.length);
  if (seen > 0 && bytes[0] === 0x50) return parseLine(bytes);
  if (!bytes.subarray(0, seen).equals(signature.subarray(0, seen)))
    throw invalid('it does not begin as one');
  if (bytes.length < fixedBytes) return undefined;
  const length = fixedBytes + bytes.readUInt16BE(14);
  if (length > fixedBytes + maxProxyHeaderBytes) throw invalid('too long');
  const command = bytes.readUInt8(12);
  if (command !== 0x20 && command !== 0x21) throw invalid('unknown version or command');
  if (bytes.length < length) return undefined;
  return { header: parseBody(bytes.subarray(0, length), command === 0x21), length };
}

const addressBytes: Readonly<Record<number, number>> = { 0x00: 0, 0x11: 4, 0x21: 16 };

function parseBody(whole: Buffer, isProxied: boolean): ProxyHeader {
  const family = whole.readUInt8(13);
  const size = addressBytes[family];
  if (size === undefined) {
    if (isProxied) throw invalid('only TCP over IPv4 and IPv6');
    return {};
  }
  const used = size === 0 ? 0 : size * 2 + 4;
  if (whole.length < fixedBytes + used) throw invalid('too short for its addresses');
  const tlvs = parseTlvs(whole, fixedBytes + used);
  if (!isProxied || size === 0) return tlvs;
  const addresses = whole.subarray(fixedBytes, fixedBytes + used);
  const source = formatIpAddress(addresses.subarray(0, size));
  const destination = formatIpAddress(addresses.subarray(size, 2 * size));
  return {
    source: { address: source, port: addresses.readUInt16BE(2 * size) },
    destination: { address: destination, port: addresses.readUInt16BE(2 * size + 2) },
    ...tlvs,
  };
}

function parseTlvs(whole: Buffer, start: number): { proxyId?: string } {
  let proxyId: string | undefined;
  for (let at = start; at < whole.length;) {
    if (at + 3 > whole.length) throw invalid('a broken TLV');
    const type = whole.readUInt8(at);
    const end = at + 3 + whole.readUInt16BE(at + 1);
    if (end > whole.length) throw invalid('a TLV beyond the end');
    if (type === proxyIdType) {
      if (proxyId !== undefined) throw invalid('two proxy ids');
      proxyId = whole.toString('latin1', at + 3, end);
      if (!/^[\w-]{1,64}$/.test(proxyId)) throw invalid('a proxy id of other characters');
    }
    if (type === checksumType) checkChecksum(whole, at + 3, end);
    at = end;
  }
  return proxyId === undefined ? {} : { proxyId };
}

function checkChecksum(whole: Buffer, at: number, end: number): void {
  if (end - at !== 4) throw invalid('a checksum of other size');
  const zeroed = Buffer.from(whole);
  zeroed.fill(0, at, end);
  if (crc32c(zeroed) !== whole.readUInt32BE(at)) throw invalid('wrong checksum');
}

function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

const linePattern = /^PROXY (TCP4|TCP6) (\S+) (\S+) (\d{1,5}) (\d{1,5})$/;

function parseLine(bytes: Buffer): { header: ProxyHeader; length: number } | undefined {
  const start = bytes.toString('latin1', 0, Math.min(bytes.length, maxLineBytes));
  if (!start.startsWith('PROXY '.slice(0, start.length))) throw invalid('it does not begin as one');
  const end = start.indexOf('\r\n');
  if (end === -1) {
    if (bytes.length >= maxLineBytes) throw invalid('too long');
    return undefined;
  }
  const line = start.slice(0, end);
  if (/^PROXY UNKNOWN( |$)/.test(line)) return { header: {}, length: end + 2 };
  const [, family, source = '', destination = '', from, to] = linePattern.exec(line) ?? [];
  return {
    header: {
      source: endpointOf(family, source, Number(from)),
      destination: endpointOf(family, destination, Number(to)),
    },
    length: end + 2,
  };
}

function endpointOf(family: string | undefined, text: string, port: number): Endpoint {
  const address = parseIpAddress(text);
  if (family === undefined || address?.length !== (family === 'TCP4' ? 4 : 16) || !(port <= 65535))
    throw invalid('a line that names no two addresses');
  return { address: formatIpAddress(address), port };
}

function invalid(why: string): GatehouseError {
  return netError('PROXY_HEADER_INVALID', { details: { why } });
}

/**
 * Takes the PROXY header off a fresh connection; what follows stays in the socket, unread.
 * The socket is left paused and without listeners of this function; on an error the caller destroys it.
 * @throws PROXY_HEADER_INVALID; PROXY_HEADER_TIMEOUT
 */
export async function readProxyHeader(
  socket: Socket,
  options: { readonly timeoutMs: number },
): Promise<ProxyHeader> {
  return new Promise((resolve, reject) => {
    let held: Buffer = Buffer.alloc(0);
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      socket
        .off('readable', onReadable)
        .off('end', onEnd)
        .off('close', onEnd)
        .off('error', onError);
      settle();
    };
    const onError = (error: Error) => {
      finish(() => {
        reject(error);
      });
    };
    const onEnd = () => {
      onError(invalid('the connection ended'));
    };
    const onReadable = () => {
      try {
        for (let chunk = readChunk(socket); chunk !== undefined; chunk = readChunk(socket)) {
          held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
          const parsed = parseProxyHeader(held);
          if (!parsed) continue;
          finish(() => {
            if (held.length > parsed.length) socket.unshift(held.subarray(parsed.length));
            resolve(parsed.header);
          });
          return;
        }
      } catch (thrown) {
        onError(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
    };
    const timer = setTimeout(() => {
      onError(netError('PROXY_HEADER_TIMEOUT', { details: { ms: String(options.timeoutMs) } }));
    }, options.timeoutMs);
    socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd).on('error', onError);
    if (socket.readableEnded || socket.destroyed) onEnd();
    else onReadable();
  });
}

function readChunk(socket: Socket): Buffer | undefined {
  const chunk: unknown = socket.read();
  return Buffer.isBuffer(chunk) ? chunk : undefined;
}
