/** How a connection begins (PostgreSQL §55.2.1, §55.2.10, §55.2.11): TLS is agreed on, then the client says what it wants. */
import type { Duplex } from 'node:stream';

import type { Offer } from '@gatehouse/protocol-api';

import { postgresError } from '../errors.js';
import type { BackendKey } from '../wire/backend.js';
import { parseStartupPacket, startupPacketLength, type StartupParameter } from '../wire/startup.js';
import { WireError } from '../wire/wire-error.js';

/** What the client wants, and where the protocol goes on: inside TLS. */
export type Beginning =
  | { readonly kind: 'cancel'; readonly key: BackendKey }
  | {
      readonly kind: 'startup';
      readonly client: Duplex;
      readonly minor: number;
      readonly parameters: readonly StartupParameter[];
    };

/** GSSENCRequest, SSLRequest and what follows; a client has no reason for more. */
const maxPackets = 4;

/**
 * Reads until the client has said what it wants. Encryption by GSSAPI is declined, TLS is begun where there is none yet.
 * A cancel request may come in clear: libpq up to 16 sends it so, and its key is all that it has.
 * @throws POSTGRES_TLS_REQUIRED, POSTGRES_PROTOCOL, and what `offer.startTls` throws
 */
export async function readBeginning(client: Duplex, offer: Offer): Promise<Beginning> {
  let stream = client;
  let isSecure = offer.transport !== 'clear';
  for (let count = 0; count < maxPackets; count += 1) {
    const packet = await readPacket(stream, offer.signal);
    switch (packet.kind) {
      case 'cancel':
        return packet;
      case 'gss':
        stream.write('N');
        break;
      case 'ssl':
        stream.write(isSecure ? 'N' : 'S');
        if (!isSecure) stream = await offer.startTls();
        isSecure = true;
        break;
      case 'startup':
        if (!isSecure) throw postgresError('POSTGRES_TLS_REQUIRED', { reason: 'no_tls' });
        return { ...packet, client: stream };
    }
  }
  throw protocolError('the client never says what it wants');
}

async function readPacket(stream: Duplex, signal: AbortSignal) {
  try {
    const head = await readExactly(stream, 4, signal);
    const length = startupPacketLength(head) ?? 0;
    const rest = await readExactly(stream, length - head.length, signal);
    return parseStartupPacket(Buffer.concat([head, rest]));
  } catch (thrown) {
    if (!(thrown instanceof WireError)) throw thrown;
    throw protocolError(thrown.message);
  }
}

function protocolError(why: string) {
  return postgresError('POSTGRES_PROTOCOL', { reason: 'protocol', details: { why } });
}

/** Leaves what follows in the stream. */
async function readExactly(stream: Duplex, size: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      stream.off('readable', tryRead).off('end', onGone).off('close', onGone);
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (reason: string, why: string) => {
      settle();
      reject(postgresError('POSTGRES_PROTOCOL', { reason, details: { why } }));
    };
    const onGone = () => fail('client_left', 'the client left');
    const onAbort = () => fail('timed_out', 'the login took too long');
    const tryRead = () => {
      const bytes: unknown = stream.read(size);
      if (!Buffer.isBuffer(bytes)) return;
      if (bytes.length < size) return onGone();
      // At once: another event could come before whoever waits, and take what is not its own.
      settle();
      resolve(bytes);
    };
    stream.on('readable', tryRead).once('end', onGone).once('close', onGone);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    else if (stream.destroyed) onGone();
    else tryRead();
  });
}
