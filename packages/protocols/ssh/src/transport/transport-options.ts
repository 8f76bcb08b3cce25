/** What a transport is made of, and that in ssh2's words. */
import type { Duplex } from 'node:stream';

import { KexInit } from 'ssh2/lib/protocol/kex.js';
import type Protocol from 'ssh2/lib/protocol/Protocol.js';

import type { AlgorithmOffer } from './algorithms.js';

/** New keys after so many bytes or so long (RFC 4253 §9). */
export const defaultRekey = { bytes: 1024 ** 3, ms: 3_600_000 };

export interface TransportOptions {
  /** Owned by the transport from here on. */
  readonly socket: Duplex;
  readonly offer: AlgorithmOffer;
  /** A server: another offer once the client has named its software. */
  readonly offerFor?: (software: string) => AlgorithmOffer;
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
export function createOffer(
  options: TransportOptions,
  offer: AlgorithmOffer = options.offer,
): Protocol.Lists {
  const serverHostKey = options.client?.hostKeyAlgorithms ?? Object.keys(options.hostKeys ?? {});
  const direction = {
    cipher: offer.ciphers,
    mac: offer.macs,
    compress: ['none'],
    lang: [],
  };
  return { kex: offer.kex, serverHostKey, cs: direction, sc: direction };
}

export function createVerifier(
  client: NonNullable<TransportOptions['client']>,
): (key: Buffer) => boolean {
  return (key) => client.verifyHostKey(key);
}

/** The lists for one client, with the marker of strict key exchange that ssh2 puts behind lists it is given itself. */
export function createOfferFor(options: TransportOptions, software: string): KexInit | undefined {
  if (options.offerFor === undefined) return undefined;
  const lists = createOffer(options, options.offerFor(software));
  return new KexInit({ ...lists, kex: [...lists.kex, 'kex-strict-s-v00@openssh.com'] });
}
