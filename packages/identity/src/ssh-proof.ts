/** What a proxy shows auth-service to prove that a person is at the other end (D21). */
import type { GatehouseError } from '@gatehouse/kit/errors';

import { identityError } from './errors.js';
import type { Identity } from './identity.js';
import type { SshCertificate } from './ssh-certificate.js';
import { verifySshSignature } from './ssh-signature.js';
import { verifySshUserCertificate } from './ssh-verify.js';
import { createSshReader } from './ssh-wire.js';

export interface SshUserProof {
  /** The person's SSH certificate, wire blob. */
  readonly certificate: Buffer;
  /** The bytes that were signed: session id, then the userauth request (RFC 4252 §7). */
  readonly signedData: Buffer;
  /** Signature with its algorithm, as on the wire. */
  readonly signature: Buffer;
}

export interface SshProofCheck {
  /** Wire blobs of the keys trusted as `user_ssh`. */
  readonly authorities: readonly Buffer[];
  readonly nowMs: number;
  readonly toleranceMs?: number;
  /** Where given, address pins are checked against it; else the proxy that met the person has checked them. */
  readonly clientAddress?: string;
}

export interface VerifiedSshProof {
  readonly identity: Identity;
  /** To be taken once (D21). */
  readonly sshSessionId: Buffer;
  /** The user name of the SSH request. */
  readonly userName: string;
  readonly validBeforeMs: number;
}

const userauthRequest = 50;
const minSessionIdBytes = 20;
const maxSessionIdBytes = 64;
const maxSignedBytes = 260 * 1024;
const maxNameBytes = 1024;

/**
 * Verifies that the holder of a person's certificate has signed a login over one SSH connection. Who calls must take
 * each `sshSessionId` once.
 * @throws PROOF_REFUSED (reasons malformed, signature) and what verifySshUserCertificate throws
 * @see RFC 4252 §7 https://www.rfc-editor.org/rfc/rfc4252#section-7
 */
export function verifySshUserProof(proof: SshUserProof, check: SshProofCheck): VerifiedSshProof {
  const request = parseSignedRequest(proof.signedData);
  if (!request.publicKey.equals(proof.certificate)) {
    throw refuseProof('it is for another certificate', 'signature');
  }
  const { certificate, identity, validBeforeMs } = verifySshUserCertificate(proof.certificate, {
    ...check,
    clientAddress: check.clientAddress ?? 'checked_elsewhere',
  });
  checkAlgorithms(proof, { certificate, requested: request.algorithm });
  if (!verifySshSignature(certificate.publicKey, proof.signedData, proof.signature)) {
    throw refuseProof('the signature does not fit', 'signature');
  }
  return { identity, sshSessionId: request.sessionId, userName: request.userName, validBeforeMs };
}

interface SignedRequest {
  readonly sessionId: Buffer;
  readonly userName: string;
  readonly algorithm: string;
  readonly publicKey: Buffer;
}

function parseSignedRequest(bytes: Buffer): SignedRequest {
  if (bytes.length > maxSignedBytes) throw malformedProof('it is too long');
  const reader = createSshReader(bytes, malformedProof);
  const sessionId = reader.string(maxSessionIdBytes);
  if (sessionId.length < minSessionIdBytes) throw malformedProof('its session id is too short');
  if (reader.byte() !== userauthRequest) throw malformedProof('it is no login');
  const userName = reader.text(maxNameBytes);
  if (reader.text(64) !== 'ssh-connection') throw malformedProof('it is for another service');
  if (reader.text(64) !== 'publickey') throw malformedProof('it is for another method');
  if (reader.byte() !== 1) throw malformedProof('it is a question, not a login');
  const algorithm = reader.text(64);
  const publicKey = reader.string(maxSignedBytes);
  reader.end();
  return { sessionId, userName, algorithm, publicKey };
}

/** The algorithm that was asked for, the certificate's kind and the signature's algorithm must be one and the same. */
function checkAlgorithms(
  proof: SshUserProof,
  { certificate, requested }: { certificate: SshCertificate; requested: string },
): void {
  const signed = createSshReader(proof.signature, malformedProof).text(64);
  const isRsa = certificate.algorithm === 'ssh-rsa-cert-v01@openssh.com';
  const fits =
    requested === `${signed}-cert-v01@openssh.com` &&
    (isRsa || requested === certificate.algorithm);
  if (!fits) throw refuseProof('its algorithms do not fit together', 'signature');
}

function malformedProof(why: string): GatehouseError {
  return refuseProof(why, 'malformed');
}

function refuseProof(why: string, reason: 'malformed' | 'signature'): GatehouseError {
  return identityError('PROOF_REFUSED', { details: { why }, reason });
}
