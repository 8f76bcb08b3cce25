/** What a transport is made of, and that in ssh2's words. */
import type { Duplex } from 'node:stream';

import type Protocol from 'ssh2/lib/protocol/Protocol.js';

import type { AlgorithmOffer } from './algorithms.js';

/** New keys after so many bytes or so long (RFC 4253 §9). */
export const defaultRekey = { bytes: 1024 ** 3, ms: 3_600_000 };

export interface TransportOptions {
  /** Owned by the transport from here on. */
  readonly socket: Duplex;
  readonly offer: AlgorithmOffer;
  /** A server's keys by algorithm, in the order offered. */
  readonly hostKeys?: Record<string, Protocol.HostKey>;
  /** A client: host key algorithms it takes, and the check of the key (or certificate) shown. */
  readonly client?: {
    readonly hostKeyAlgorithms: readonly string[];
    verifyHostKey(blob: Buffer): boolean;
  };
  readonly rekey?: { readonly bytes: number; readonly ms: number };
}

/** The name lists of KEXINIT. Never compression: it is each leg's own, and a relay could not read the messages. */
export function createOffer(options: TransportOptions): Protocol.Lists {
  const serverHostKey = options.client?.hostKeyAlgorithms ?? Object.keys(options.hostKeys ?? {});
  const direction = {
    cipher: options.offer.ciphers,
    mac: options.offer.macs,
    compress: ['none'],
    lang: [],
  };
  return { kex: options.offer.kex, serverHostKey, cs: direction, sc: direction };
}

export function createVerifier(
  client: NonNullable<TransportOptions['client']>,
): (key: Buffer) => boolean {
  return (key) => client.verifyHostKey(key);
}
