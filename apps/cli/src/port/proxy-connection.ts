/**
 * A connection to a target through the port: TLS with ALPN `gatehouse-…` and the person's certificate, the preface, then
 * bytes both ways, in which the client speaks its own protocol. `gate proxy ssh` starts once per `ssh`, so this loads next
 * to nothing.
 */
import type { Readable, Writable } from 'node:stream';
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls';

import { describeNetworkError } from '../cluster/network-errors.js';
import { isProxyOf } from '../cluster/peer-name.js';
import type { ProxyAddress } from '../profile/address.js';
import type { TlsMaterial } from '../profile/profile.js';
import { decodeReply, encodePreface, type PrefaceRefusal, type PrefaceRequest } from './preface.js';

/** How long the TLS connection may take to stand. */
const connectTimeoutMs = 15_000;
/** How long the proxy may take to decide; it answers at once or when the target was dialled. */
const replyTimeoutMs = 45_000;

/** Which proxy, as whom, and where to. */
export interface ProxyConnectionOptions {
  readonly address: ProxyAddress;
  readonly cluster: string;
  readonly tls: TlsMaterial;
  /** What will be spoken (D18). */
  readonly alpn: 'gatehouse-ssh' | 'gatehouse-db';
  readonly preface: PrefaceRequest;
}

/** The proxy said no; the text is for the person. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly refusal: PrefaceRefusal;
  constructor(refusal: PrefaceRefusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** Connects and says where to go. @throws RefusedError, or an Error whose message says what stood in the way */
export async function openProxyConnection(options: ProxyConnectionOptions): Promise<TLSSocket> {
  const socket = await openTls(options);
  try {
    socket.write(encodePreface(options.preface));
    await readReply(socket);
    return socket;
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
}

async function openTls({
  address,
  cluster,
  tls,
  alpn,
}: ProxyConnectionOptions): Promise<TLSSocket> {
  const { host, port } = address;
  const settings = {
    host,
    port,
    ...(isIpAddress(host) ? {} : { servername: host }),
    ALPNProtocols: [alpn],
    allowHalfOpen: true,
    key: tls.key,
    cert: tls.certificate,
    ca: tls.ca,
    checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
      isProxyOf(certificate.subjectaltname, cluster)
        ? undefined
        : new Error(`what answers is no proxy of cluster ${cluster}`),
  };
  const socket = connect(settings);
  // Whoever waits for the connection has a listener of its own; between two of them an error must not go unheard.
  socket.on('error', () => socket.destroy());
  socket.setNoDelay(true);
  await new Promise<void>((resolve, reject) => {
    const fail = (thrown: Error) =>
      reject(
        new Error(`could not reach ${address.text}: ${describeNetworkError(thrown)}`, {
          cause: thrown,
        }),
      );
    socket.setTimeout(connectTimeoutMs, () => socket.destroy(new Error('timed out')));
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      socket.off('error', fail);
      socket.setTimeout(0);
      resolve();
    });
  });
  return socket;
}

function isIpAddress(host: string): boolean {
  return /^[\d.]+$/.test(host) || host.includes(':');
}

/** Takes the reply off the stream; what came behind it stays in the stream. */
async function readReply(socket: TLSSocket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let received = Buffer.alloc(0);
    const stop = (thrown: Error | undefined, rest?: Buffer) => {
      socket.off('data', onData).off('error', onEnd).off('end', onEnd).off('close', onEnd);
      socket.setTimeout(0);
      socket.pause();
      if (thrown !== undefined) return reject(thrown);
      if (rest !== undefined && rest.length > 0) socket.unshift(rest);
      resolve();
    };
    const onEnd = (thrown?: unknown) => {
      const why =
        thrown instanceof Error ? describeNetworkError(thrown) : 'the connection was closed';
      stop(new Error(`refused before an answer: ${why}`, { cause: thrown }));
    };
    const onData = (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const reply = decodeReply(received);
      if (reply.type === 'incomplete') return;
      if (reply.type === 'accepted') return stop(undefined, reply.rest);
      stop(
        reply.type === 'refused'
          ? new RefusedError(reply.refusal)
          : new Error('the answer is not understood'),
      );
    };
    socket.setTimeout(replyTimeoutMs, () => onEnd(new Error('timed out')));
    socket.on('data', onData).on('error', onEnd).on('end', onEnd).on('close', onEnd);
  });
}

/**
 * Carries bytes both ways until the far side has ended and all of it is written. The end of `input` is passed on and
 * waits for the far side; back-pressure is that of the streams. Any broken pipe ends it: the person's ssh says what
 * that means to the session.
 */
export async function joinWithStandardStreams(
  socket: TLSSocket,
  input: Readable,
  output: Writable,
): Promise<void> {
  await new Promise<void>((resolve) => {
    const finish = () => socket.destroy();
    socket.once('close', resolve);
    // The standard output is never ended by a pipe; an empty write is called back when all before it is written.
    socket.once('end', () => output.write('', finish));
    input.on('error', finish);
    output.on('error', finish);
    input.pipe(socket);
    socket.pipe(output);
  });
  input.destroy();
}
