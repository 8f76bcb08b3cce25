/** What a proxy shows auth-service to prove that a person is at the other end (D21). */
import type { Identity } from './identity.js';
import { pending } from './pending.js';

export interface SshUserProof {
  /** The person's SSH certificate, wire blob. */
  readonly certificate: Buffer;
  /** The bytes that were signed: session id, then the userauth request (RFC 4252 §7). */
  readonly signedData: Buffer;
  /** Signature with its algorithm, as on the wire. */
  readonly signature: Buffer;
}

export interface SshProofCheck {
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

/** @throws PROOF_REFUSED, and what verifySshUserCertificate throws */
export function verifySshUserProof(proof: SshUserProof, check: SshProofCheck): VerifiedSshProof {
  return pending();
}
