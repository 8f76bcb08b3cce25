/** An SSH client for tests that says what no stock client does: raw messages, below, during and after the login. */
import { sign, type KeyObject } from 'node:crypto';
import { connect } from 'node:net';

import { KexInit } from 'ssh2/lib/protocol/kex.js';

import { clientFacing, hostCertificateAlgorithms } from './transport/algorithms.js';
import { createOffer, type TransportOptions } from './transport/transport-options.js';
import { SshTransport } from './transport/transport.js';
import { encodeFields, encodeMessage, WireReader, type WireField } from './wire/codec.js';
import { messageType } from './wire/message-types.js';

/** A certificate, or a plain public key, and the Ed25519 key that signs. */
export interface RawCredential {
  /** Wire blob. */
  readonly certificate: Buffer;
  readonly key: KeyObject;
}

export interface RawDialOptions {
  readonly port: number;
  /** Ciphers in the client's order. Default: those that Gatehouse offers to all. */
  readonly ciphers?: readonly string[];
  /** False: a client of the years before strict key exchange. Default true. */
  readonly isStrict?: boolean;
}

/** What came back until a channel closed or the time was over. */
export interface RawAnswer {
  readonly stdout: string;
  readonly stderr: string;
  /** Of the requests with a reply, in order. */
  readonly granted: readonly boolean[];
}

export interface RawChannel {
  /** The number by which the other side knows it. */
  readonly id: number;
  /** Sends requests by name, with what follows `want reply`, and collects what comes until the channel closes. */
  ask(requests: readonly RawRequest[], timeoutMs?: number): Promise<RawAnswer>;
}

export interface RawRequest {
  readonly name: string;
  readonly fields: readonly (string | number | Buffer)[];
  /** Data that follows it. */
  readonly data?: Buffer;
}

/** How long any one answer may take, ms. */
const answerTimeoutMs = 10_000;

export class RawConnection implements Disposable {
  readonly #transport: SshTransport;
  #channels = 0;

  constructor(options: RawDialOptions) {
    const settings: TransportOptions = {
      socket: connect({ port: options.port, host: '127.0.0.1', noDelay: true }),
      offer: { ...clientFacing, ciphers: options.ciphers ?? clientFacing.ciphers },
      client: { hostKeyAlgorithms: hostCertificateAlgorithms, verifyHostKey: () => true },
    };
    this.#transport = new SshTransport(settings);
    if (options.isStrict === false) forgetStrictness(this.#transport, settings);
  }

  /** Resolves when the server is ready to authenticate. @throws Error with the text of its DISCONNECT */
  async ready(): Promise<this> {
    await this.#transport.ready();
    this.send(messageType.serviceRequest, 'ssh-userauth');
    await this.next(messageType.serviceAccept);
    return this;
  }

  get isStrict(): boolean {
    return this.#transport.strictKeyExchange;
  }

  /** The text with which the other side ended the connection. */
  async ended(): Promise<string> {
    const { by, text, error } = await this.#transport.ended;
    return `${by}: ${text ?? error?.message ?? ''}`;
  }

  /** Answers keepalives from now on; no other message is read. */
  answerKeepalives(): void {
    const signal = new AbortController().signal;
    const answerNext = (): void => {
      this.#transport.read(signal).then(
        (message) => {
          if (message[0] === messageType.globalRequest) this.send(messageType.requestFailure);
          answerNext();
        },
        () => undefined,
      );
    };
    answerNext();
  }

  send(type: number, ...fields: readonly WireField[]): void {
    this.#transport.send(encodeMessage(type, ...fields));
  }

  /** The next message of these types; others are dropped. @throws when none comes within 10 s or the connection ends */
  async next(...types: readonly number[]): Promise<Buffer> {
    const signal = AbortSignal.timeout(answerTimeoutMs);
    for (;;) {
      const message = await this.#transport.read(signal);
      if (types.includes(message[0] ?? 0)) return message;
    }
  }

  /** Says whose key it has, without a proof. */
  offer(userName: string, { certificate }: RawCredential): void {
    this.#transport.send(publicKeyRequest(userName, certificate, false));
  }

  /** Asks to be let in; `signer` may be another than the certificate is for. */
  prove(userName: string, { certificate, key }: RawCredential, signer: KeyObject = key): void {
    const request = publicKeyRequest(userName, certificate, true);
    const proven = Buffer.concat([encodeFields(this.#transport.sessionId), request]);
    const signature = encodeFields('ssh-ed25519', sign(null, proven, signer));
    this.#transport.send(Buffer.concat([request, encodeFields(signature)]));
  }

  /** Resolves when the server has let it in. @throws Error with the banner or the text of the DISCONNECT */
  async accepted(): Promise<this> {
    const { userauthSuccess, userauthFailure, userauthBanner } = messageType;
    const reply = await this.next(userauthSuccess, userauthFailure, userauthBanner);
    if (reply[0] !== userauthSuccess) {
      this[Symbol.dispose]();
      throw new Error(
        reply[0] === userauthBanner ? new WireReader(reply, 1).text(16_384) : 'refused',
      );
    }
    this.#transport.setAuthenticated();
    return this;
  }

  /** @param window bytes that the server may send at once */
  async openSession(window = 2_000_000): Promise<RawChannel> {
    const number = this.#channels;
    this.#channels += 1;
    this.send(messageType.channelOpen, 'session', number, window, 32_768);
    const confirmed = await this.next(messageType.channelOpenConfirmation);
    const id = confirmed.readUInt32BE(5);
    return {
      id,
      ask: async (requests, timeoutMs) => ask(this.#transport, id, { requests, timeoutMs }),
    };
  }

  [Symbol.dispose](): void {
    this.#transport.disconnect(11, 'done');
  }
}

/**
 * Logs in with an Ed25519 certificate.
 * @throws Error with the banner or the text of the DISCONNECT when it is refused
 */
export async function loginRaw(
  options: RawDialOptions & RawCredential & { readonly userName: string },
): Promise<RawConnection> {
  const connection = await new RawConnection(options).ready();
  connection.prove(options.userName, options);
  return connection.accepted();
}

/** Neither says that it can, nor counts as if it could. */
function forgetStrictness(transport: SshTransport, settings: TransportOptions): void {
  // Both are read when the server's first line comes, which is later.
  const inner: { _offer: KexInit; _strictMode?: boolean | undefined } = transport['protocol'];
  inner._offer = new KexInit(createOffer(settings));
  inner._strictMode = false;
}

function publicKeyRequest(userName: string, blob: Buffer, isSigned: boolean): Buffer {
  const algorithm = new WireReader(blob).text();
  const head = [userName, 'ssh-connection', 'publickey', isSigned] as const;
  return encodeMessage(messageType.userauthRequest, ...head, algorithm, blob);
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
