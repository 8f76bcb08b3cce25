/** An SSH client for tests that says what no stock client does: raw messages, after a login that is in order. */
import { sign, type KeyObject } from 'node:crypto';
import { connect } from 'node:net';

import { clientFacing, hostCertificateAlgorithms } from './transport/algorithms.js';
import { SshTransport } from './transport/transport.js';
import { encodeFields, encodeMessage, WireReader } from './wire/codec.js';
import { messageType } from './wire/message-types.js';

/** What came back until a channel closed or the time was over. */
export interface RawAnswer {
  readonly stdout: string;
  readonly stderr: string;
  /** Of the requests with a reply, in order. */
  readonly granted: readonly boolean[];
}

export interface RawChannel {
  /** Sends requests by name, with what follows `want reply`, and collects what comes until the channel closes. */
  ask(requests: readonly RawRequest[], timeoutMs?: number): Promise<RawAnswer>;
}

export interface RawRequest {
  readonly name: string;
  readonly fields: readonly (string | number | Buffer)[];
  /** Data that follows it. */
  readonly data?: Buffer;
}

export interface RawClient extends Disposable {
  openSession(): Promise<RawChannel>;
}

/**
 * Logs in with an Ed25519 certificate.
 * @throws Error with the banner or the text of the DISCONNECT when it is refused
 */
export async function loginRaw(options: {
  readonly port: number;
  readonly userName: string;
  readonly certificate: Buffer;
  readonly key: KeyObject;
}): Promise<RawClient> {
  const { certificate, key, userName } = options;
  const transport = new SshTransport({
    socket: connect({ port: options.port, host: '127.0.0.1', noDelay: true }),
    offer: clientFacing,
    client: { hostKeyAlgorithms: hostCertificateAlgorithms, verifyHostKey: () => true },
  });
  await transport.ready();
  transport.send(encodeMessage(messageType.serviceRequest, 'ssh-userauth'));
  await next(transport, messageType.serviceAccept);
  const algorithm = new WireReader(certificate).text();
  const head = ['ssh-connection', 'publickey', true, algorithm, certificate] as const;
  const request = encodeMessage(messageType.userauthRequest, userName, ...head);
  const signature = sign(null, Buffer.concat([encodeFields(transport.sessionId), request]), key);
  const signed = encodeFields(encodeFields('ssh-ed25519', signature));
  transport.send(Buffer.concat([request, signed]));
  const { userauthSuccess, userauthFailure, userauthBanner } = messageType;
  const reply = await next(transport, userauthSuccess, userauthFailure, userauthBanner);
  if (reply[0] !== userauthSuccess) {
    transport.disconnect(11, 'refused');
    throw new Error(
      reply[0] === userauthBanner ? new WireReader(reply, 1).text(16_384) : 'refused',
    );
  }
  transport.setAuthenticated();
  let channels = 0;
  return {
    async openSession() {
      const id = channels;
      channels += 1;
      transport.send(encodeMessage(messageType.channelOpen, 'session', id, 2_000_000, 32_768));
      const confirmed = await next(transport, messageType.channelOpenConfirmation);
      const remote = confirmed.readUInt32BE(5);
      return {
        ask: async (requests, timeoutMs) => ask(transport, remote, { requests, timeoutMs }),
      };
    },
    [Symbol.dispose]: () => transport.disconnect(11, 'done'),
  };
}

async function next(transport: SshTransport, ...types: readonly number[]): Promise<Buffer> {
  const signal = AbortSignal.timeout(10_000);
  for (;;) {
    const message = await transport.read(signal);
    if (types.includes(message[0] ?? 0)) return message;
  }
}

async function ask(
  transport: SshTransport,
  channel: number,
  asked: { readonly requests: readonly RawRequest[]; readonly timeoutMs: number | undefined },
): Promise<RawAnswer> {
  for (const { name, fields, data } of asked.requests) {
    transport.send(encodeMessage(messageType.channelRequest, channel, name, true, ...fields));
    if (data !== undefined) transport.send(encodeMessage(messageType.channelData, channel, data));
  }
  return collect(transport, AbortSignal.timeout(asked.timeoutMs ?? 5_000));
}

async function collect(transport: SshTransport, signal: AbortSignal): Promise<RawAnswer> {
  const granted: boolean[] = [];
  const texts = { stdout: '', stderr: '' };
  for (;;) {
    const message = await transport.read(signal).catch(() => undefined);
    const type = message?.[0] ?? messageType.channelClose;
    if (message === undefined || type === messageType.channelClose) return { ...texts, granted };
    if (type === messageType.channelSuccess) granted.push(true);
    if (type === messageType.channelFailure) granted.push(false);
    if (type === messageType.channelData) texts.stdout += latin1(message, 5);
    if (type === messageType.channelExtendedData) texts.stderr += latin1(message, 9);
  }
}

function latin1(message: Buffer, at: number): string {
  return new WireReader(message, at).string().toString('latin1');
}
