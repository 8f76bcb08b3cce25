import { duplexPair, type Duplex } from 'node:stream';

import { createTestAuthorities, issueTestHost } from '@gatehouse/identity/testing';

import { clientFacing, hostCertificateAlgorithms } from './algorithms.js';
import { createHostKeys } from './host-keys.js';
import { SshTransport } from './transport.js';

export interface PairOptions {
  readonly hostKeyAlgorithms?: readonly string[];
  readonly verifyHostKey?: (blob: Buffer) => boolean;
  readonly rekey?: { readonly bytes: number; readonly ms: number };
  /** What they talk over: the client's end and the server's. Default: in memory. */
  readonly streams?: readonly [client: Duplex, server: Duplex];
}

/** A client and a server, their key exchange under way. */
export async function connectPair(options: PairOptions = {}) {
  const host = await issueTestHost(await createTestAuthorities(), ['web-1']);
  const [left, right] = options.streams ?? duplexPair();
  const server = new SshTransport({
    socket: right,
    offer: clientFacing,
    hostKeys: createHostKeys(host),
  });
  const client = new SshTransport({
    socket: left,
    offer: clientFacing,
    client: {
      hostKeyAlgorithms: options.hostKeyAlgorithms ?? hostCertificateAlgorithms,
      verifyHostKey: options.verifyHostKey ?? (() => true),
    },
    ...(options.rekey && { rekey: options.rekey }),
  });
  return { host, server, client };
}
