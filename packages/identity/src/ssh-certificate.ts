/** OpenSSH certificates: issue and parse. */
import type { Identity } from './identity.js';
import type { Signer } from './keys.js';
import { pending } from './pending.js';

export interface SshCertificate {
  /** For example `ssh-ed25519-cert-v01@openssh.com`. */
  readonly algorithm: string;
  readonly type: 'user' | 'host';
  readonly serial: bigint;
  readonly keyId: string;
  readonly principals: readonly string[];
  /** ms since the epoch. */
  readonly validAfterMs: number;
  /** ms since the epoch; Infinity means for ever. */
  readonly validBeforeMs: number;
  /** Name → value; a flag's value is ''. */
  readonly criticalOptions: ReadonlyMap<string, string>;
  readonly extensions: ReadonlyMap<string, string>;
  /** The certified key as a plain wire blob. */
  readonly publicKey: Buffer;
  /** The CA's key, wire blob. */
  readonly signatureKey: Buffer;
  /** Algorithm and signature, as on the wire. */
  readonly signature: Buffer;
  /** The bytes that the CA signed. */
  readonly signedBytes: Buffer;
}

export interface SshCertificateRequest {
  readonly type: 'user' | 'host';
  /** Plain wire blob: Ed25519, P-256 or RSA. */
  readonly publicKey: Buffer;
  readonly serial: bigint;
  readonly keyId: string;
  readonly principals: readonly string[];
  readonly validAfterMs: number;
  readonly validBeforeMs: number;
  readonly criticalOptions?: Readonly<Record<string, string>>;
  /** `{'permit-pty': ''}`: flags have the value ''. */
  readonly extensions?: Readonly<Record<string, string>>;
  /** Becomes the extension `identity-v1@gatehouse`. */
  readonly identity?: Identity;
  readonly signer: Signer;
}

/** A signed certificate, wire blob. @throws KEY_INVALID, IDENTITY_INVALID */
export async function issueSshCertificate(request: SshCertificateRequest): Promise<Buffer> {
  return pending();
}

/** Reads a certificate strictly; checks form only, no signature. @throws CERTIFICATE_REFUSED, reason malformed or certificate_as_ca */
export function parseSshCertificate(blob: Buffer): SshCertificate {
  return pending();
}
