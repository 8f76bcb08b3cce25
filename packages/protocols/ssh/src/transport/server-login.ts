/**
 * The server's side of user authentication (RFC 4252): publickey with a certificate, nothing else.
 *
 * An offered certificate proves nothing; the person is who holds the key that signed (SSH-20). The function returns
 * with the signature verified and USERAUTH_SUCCESS not yet sent, so that the host can decide and dial first.
 */
import { parseSshCertificate, verifySshSignature, type SshUserProof } from '@gatehouse/identity';
import { toGatehouseError, type GatehouseError } from '@gatehouse/kit/errors';

import { bannerOf, disconnectReason, sshError } from '../errors.js';
import { encodeFields, encodeMessage, WireReader } from '../wire/codec.js';
import { messageType } from '../wire/message-types.js';
import type { SshTransport } from './transport.js';

/** Failed tries before the connection is ended. */
const maxTries = 6;
const maxUserNameBytes = 512;
const maxCertificateBytes = 32_768;

/** Certificate algorithm → algorithm of the signatures made with its key. SHA-1 is in neither column. */
const signatureAlgorithms: ReadonlyMap<string, string> = new Map([
  ['ssh-ed25519-cert-v01@openssh.com', 'ssh-ed25519'],
  ['ecdsa-sha2-nistp256-cert-v01@openssh.com', 'ecdsa-sha2-nistp256'],
  ['rsa-sha2-512-cert-v01@openssh.com', 'rsa-sha2-512'],
  ['rsa-sha2-256-cert-v01@openssh.com', 'rsa-sha2-256'],
]);

/** Whoever signed, with what `verifyCertificate` found out of the certificate. */
export interface SignedLogin<Verified> {
  /** As the client gave it: the login, or `login@target`. */
  readonly userName: string;
  readonly proof: SshUserProof;
  readonly verified: Verified;
}

export interface ServerLoginOptions<Verified> {
  readonly transport: SshTransport;
  readonly signal: AbortSignal;
  /** @throws the refusal, which becomes a banner and the reason if no other certificate follows */
  verifyCertificate(blob: Buffer, userName: string): Promise<Verified>;
}

/**
 * Authenticates whoever is at the other end. Undefined when the client left without having tried.
 * @throws SSH_NO_CERTIFICATE, SSH_USER_CHANGED, SSH_TOO_MANY_TRIES, SSH_TIMED_OUT, SSH_CLIENT_LEFT, SSH_PROTOCOL and
 *   what `verifyCertificate` throws. The client has been told.
 */
export async function authenticateUser<Verified>(
  options: ServerLoginOptions<Verified>,
): Promise<SignedLogin<Verified> | undefined> {
  const login = new ServerLogin(options);
  try {
    return await login.run();
  } catch (thrown) {
    const error = login.explain(thrown);
    if (error === undefined) {
      options.transport.disconnect(disconnectReason.byApplication, 'nothing was asked for');
      return undefined;
    }
    const reason =
      error.code === 'SSH_PROTOCOL'
        ? disconnectReason.protocolError
        : disconnectReason.noMoreAuthMethods;
    options.transport.disconnect(reason, `${error.publicMessage} (${error.id})`);
    throw error;
  }
}

interface PublicKeyRequest {
  readonly algorithm: string;
  readonly blob: Buffer;
  readonly signature: Buffer | undefined;
  /** What a signature covers (RFC 4252 §7). */
  readonly signedData: Buffer;
}

class ServerLogin<Verified> {
  private readonly transport: SshTransport;
  private userName: string | undefined;
  private failures = 0;
  private certificateOffered = false;
  private refusal: GatehouseError | undefined;
  private readonly banners = new Set<string>();

  constructor(private readonly options: ServerLoginOptions<Verified>) {
    this.transport = options.transport;
  }

  async run(): Promise<SignedLogin<Verified>> {
    for (;;) {
      const message = await this.transport.read(this.options.signal);
      if (message[0] === messageType.serviceRequest) this.onServiceRequest(message);
      else if (message[0] === messageType.userauthRequest) {
        const login = await this.onRequest(message);
        if (login !== undefined) return login;
      } else throw protocolError('a message before authentication');
    }
  }

  /** What made `run` end, as an error; undefined when the client never tried. */
  explain(thrown: unknown): GatehouseError | undefined {
    const hasLeft = this.transport.endedWith?.by === 'peer';
    const hasTimedOut = this.options.signal.aborted && !hasLeft;
    if (!hasLeft && !hasTimedOut) return toGatehouseError(thrown);
    if (this.refusal !== undefined) return this.refusal;
    if (this.userName === undefined) return undefined;
    if (hasTimedOut) return sshError('SSH_TIMED_OUT', { reason: 'timed_out', cause: thrown });
    if (this.certificateOffered) return sshError('SSH_CLIENT_LEFT', { reason: 'client_left' });
    return sshError('SSH_NO_CERTIFICATE', { reason: 'no_certificate' });
  }

  private onServiceRequest(message: Buffer): void {
    const name = new WireReader(message, 1).text();
    if (name !== 'ssh-userauth') throw protocolError('an unknown service');
    this.transport.send(encodeMessage(messageType.serviceAccept, name));
  }

  private async onRequest(message: Buffer): Promise<SignedLogin<Verified> | undefined> {
    const reader = new WireReader(message, 1);
    const userName = reader.text(maxUserNameBytes);
    if (this.userName !== undefined && userName !== this.userName) {
      throw sshError('SSH_USER_CHANGED', { reason: 'user_changed' });
    }
    this.userName = userName;
    if (reader.text() !== 'ssh-connection') throw protocolError('an unknown service');
    const method = reader.text();
    if (method === 'publickey')
      return this.onPublicKey(readPublicKey(reader, message, this.transport));
    this.fail(method !== 'none');
    return undefined;
  }

  private async onPublicKey(request: PublicKeyRequest): Promise<SignedLogin<Verified> | undefined> {
    const signatureAlgorithm = signatureAlgorithms.get(request.algorithm);
    if (signatureAlgorithm === undefined) {
      if (!this.certificateOffered)
        this.showBanner(sshError('SSH_NO_CERTIFICATE', { reason: 'no_certificate' }));
      this.fail(true);
      return undefined;
    }
    const verified = await this.verify(request.blob);
    if (verified === undefined) {
      this.fail(true);
      return undefined;
    }
    this.certificateOffered = true;
    if (request.signature === undefined) {
      this.transport.send(encodeMessage(messageType.userauthPkOk, request.algorithm, request.blob));
      return undefined;
    }
    if (!isSignedByKey(request, request.signature, signatureAlgorithm)) {
      this.refusal = sshError('SSH_BAD_SIGNATURE', { reason: 'signature' });
      this.fail(true);
      return undefined;
    }
    const proof = {
      certificate: request.blob,
      signedData: request.signedData,
      signature: request.signature,
    };
    return { userName: this.userName ?? '', proof, verified: verified.value };
  }

  private async verify(blob: Buffer): Promise<{ readonly value: Verified } | undefined> {
    try {
      return { value: await this.options.verifyCertificate(blob, this.userName ?? '') };
    } catch (thrown) {
      this.refusal = toGatehouseError(thrown);
      this.showBanner(this.refusal);
      return undefined;
    }
  }

  private showBanner(error: GatehouseError): void {
    if (this.banners.has(error.publicMessage)) return;
    this.banners.add(error.publicMessage);
    this.transport.send(encodeMessage(messageType.userauthBanner, bannerOf(error), ''));
  }

  private fail(counts: boolean): void {
    if (counts) this.failures += 1;
    if (this.failures >= maxTries) {
      throw this.refusal ?? sshError('SSH_TOO_MANY_TRIES', { reason: 'no_certificate' });
    }
    this.transport.send(encodeMessage(messageType.userauthFailure, 'publickey', false));
  }
}

function readPublicKey(
  reader: WireReader,
  message: Buffer,
  transport: SshTransport,
): PublicKeyRequest {
  const signed = reader.bool();
  const algorithm = reader.text();
  const blob = reader.string(maxCertificateBytes);
  const signedData = Buffer.concat([
    encodeFields(transport.sessionId),
    message.subarray(0, reader.offset),
  ]);
  const signature = signed ? reader.string(4096) : undefined;
  if (reader.remaining !== 0) throw protocolError('bytes behind an authentication request');
  return { algorithm, blob, signature, signedData };
}

function isSignedByKey(request: PublicKeyRequest, signature: Buffer, algorithm: string): boolean {
  if (new WireReader(signature).text() !== algorithm) return false;
  return verifySshSignature(
    parseSshCertificate(request.blob).publicKey,
    request.signedData,
    signature,
  );
}

function protocolError(why: string): GatehouseError {
  return sshError('SSH_PROTOCOL', { details: { why }, reason: 'protocol' });
}
