/** The client's side towards a target: check its host key, log in with a certificate held in memory (RFC 4252 §7). */
import { createPrivateKey } from 'node:crypto';
import type { Duplex } from 'node:stream';

import {
  parseSshCertificate,
  signSsh,
  sshFingerprint,
  verifySshHostCertificate,
} from '@gatehouse/identity';
import { toGatehouseError, type GatehouseError } from '@gatehouse/kit/errors';
import type { TargetCertificate } from '@gatehouse/protocol-api';

import { disconnectReason, sshError } from '../errors.js';
import { encodeFields, encodeMessage, WireReader } from '../wire/codec.js';
import { messageType } from '../wire/message-types.js';
import {
  hostCertificateAlgorithms,
  isLegacy,
  legacyTargetFacing,
  plainHostKeyAlgorithms,
  targetFacing,
} from './algorithms.js';
import { SshTransport } from './transport.js';

/** What a target must show. */
export interface HostExpectation {
  /** Name among the principals of its host certificate. */
  readonly name: string;
  /** Keys (wire blobs) whose host certificates are taken. */
  readonly authorities: readonly Buffer[];
  /** The target's own key, wire blob, where it is pinned. */
  readonly pin: Buffer | undefined;
  readonly legacyAlgorithms: boolean;
  readonly nowMs: number;
}

export interface ClientLoginOptions {
  /** Owned by the transport that comes back, also when this fails. */
  readonly socket: Duplex;
  readonly host: HostExpectation;
  readonly login: string;
  readonly certificate: TargetCertificate;
  readonly signal: AbortSignal;
}

export interface TargetConnection {
  readonly transport: SshTransport;
  /** Texts that the target wants people to see before they are in. */
  readonly banners: readonly string[];
  /** Algorithms of the past were needed. */
  readonly isLegacy: boolean;
}

/**
 * Logs in to a target.
 * @throws SSH_HOST_KEY, SSH_ALGORITHMS, SSH_TARGET_REFUSED_LOGIN, SSH_TARGET_LOST; the socket is closed then
 */
export async function loginToTarget(options: ClientLoginOptions): Promise<TargetConnection> {
  const { host } = options;
  let hostRefusal: GatehouseError | undefined;
  const transport = new SshTransport({
    socket: options.socket,
    offer: host.legacyAlgorithms ? legacyTargetFacing : targetFacing,
    client: {
      hostKeyAlgorithms: hostKeyAlgorithms(host),
      verifyHostKey: (blob) => {
        hostRefusal = checkHostKey(blob, host);
        return hostRefusal === undefined;
      },
    },
  });
  try {
    return await authenticate(transport, options);
  } catch (thrown) {
    transport.disconnect(disconnectReason.byApplication, 'not logged in');
    throw hostRefusal ?? explain(thrown, options);
  }
}

/** Certificates first, except where only a plain key is pinned: then a certificate of a stranger must not win. */
function hostKeyAlgorithms(host: HostExpectation): string[] {
  const plain = [...plainHostKeyAlgorithms, ...(host.legacyAlgorithms ? ['ssh-rsa'] : [])];
  if (host.pin === undefined) return [...hostCertificateAlgorithms, ...plain];
  const type = new WireReader(host.pin).text();
  const pinned = type === 'ssh-rsa' ? plain.filter((name) => name.includes('rsa')) : [type];
  return [
    ...pinned,
    ...hostCertificateAlgorithms,
    ...plain.filter((name) => !pinned.includes(name)),
  ];
}

function checkHostKey(blob: Buffer, host: HostExpectation): GatehouseError | undefined {
  if (host.pin?.equals(blob) === true) return undefined;
  const refuse = (cause?: unknown) =>
    sshError('SSH_HOST_KEY', {
      details: { target: host.name, fingerprint: fingerprintOf(blob) },
      reason: 'host_key',
      cause,
    });
  if (!new WireReader(blob).text().endsWith('-cert-v01@openssh.com')) return refuse();
  try {
    verifySshHostCertificate(blob, {
      authorities: host.authorities,
      nowMs: host.nowMs,
      principal: host.name,
    });
    return undefined;
  } catch (thrown) {
    return refuse(thrown);
  }
}

function fingerprintOf(blob: Buffer): string {
  try {
    const isCertificate = new WireReader(blob).text().endsWith('-cert-v01@openssh.com');
    return sshFingerprint(isCertificate ? parseSshCertificate(blob).publicKey : blob);
  } catch {
    return 'not readable';
  }
}

async function authenticate(
  transport: SshTransport,
  options: ClientLoginOptions,
): Promise<TargetConnection> {
  const { signal } = options;
  transport.send(encodeMessage(messageType.serviceRequest, 'ssh-userauth'));
  await expect(transport, messageType.serviceAccept, signal);
  transport.send(signedRequest(transport, options));
  const banners: string[] = [];
  for (;;) {
    const message = await transport.read(signal);
    if (message[0] === messageType.userauthBanner) {
      if (banners.length < 8) banners.push(new WireReader(message, 1).text(16_384));
    } else if (message[0] === messageType.userauthSuccess) {
      transport.setAuthenticated();
      const { negotiated } = transport;
      return { transport, banners, isLegacy: negotiated !== undefined && isLegacy(negotiated) };
    } else {
      throw sshError('SSH_TARGET_REFUSED_LOGIN', {
        details: { target: options.host.name, login: options.login },
        reason: 'login_refused',
      });
    }
  }
}

async function expect(transport: SshTransport, type: number, signal: AbortSignal): Promise<void> {
  const message = await transport.read(signal);
  if (message[0] !== type)
    throw sshError('SSH_PROTOCOL', { details: { why: 'an unexpected message' } });
}

function signedRequest(transport: SshTransport, options: ClientLoginOptions): Buffer {
  const { certificate, privateKeyPem } = options.certificate;
  const algorithm = new WireReader(certificate).text();
  const request = encodeMessage(
    messageType.userauthRequest,
    options.login,
    'ssh-connection',
    'publickey',
    true,
    algorithm,
    certificate,
  );
  const signedData = Buffer.concat([encodeFields(transport.sessionId), request]);
  const signature = signSsh(createPrivateKey(privateKeyPem), signedData);
  return Buffer.concat([request, encodeFields(signature)]);
}

function explain(thrown: unknown, options: ClientLoginOptions): GatehouseError {
  const error = toGatehouseError(thrown);
  const target = options.host.name;
  if (error.code === 'SSH_NO_COMMON_ALGORITHM') {
    const offered = /: (.*)$/.exec(error.details['what'] ?? '')?.[1] ?? error.details['what'] ?? '';
    return sshError('SSH_ALGORITHMS', {
      details: { target, algorithms: offered },
      reason: 'algorithms',
      cause: thrown,
    });
  }
  if (error.code === 'SSH_TARGET_REFUSED_LOGIN') return error;
  const why = options.signal.aborted ? 'timed out' : 'the target closed the connection';
  const reason = options.signal.aborted ? 'timed_out' : 'closed';
  return sshError('SSH_TARGET_LOST', { details: { target, why }, reason, cause: thrown });
}
