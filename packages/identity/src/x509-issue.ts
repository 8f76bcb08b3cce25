/** X.509 certificates: authorities and leaves. */
import type { Identity } from './identity.js';
import type { Signer } from './keys.js';
import type { PartName } from './part-name.js';
import { pending } from './pending.js';

export interface TlsAuthorityRequest {
  readonly commonName: string;
  readonly privateKeyPem: string;
  readonly nowMs: number;
  readonly days: number;
}

/** A self-signed CA certificate (DER), path length 0. @throws KEY_INVALID */
export async function createTlsAuthority(request: TlsAuthorityRequest): Promise<Buffer> {
  return pending();
}

export interface TlsAuthority {
  readonly certificate: Buffer;
  readonly signer: Signer;
}

export interface TlsCertificateRequest {
  readonly authority: TlsAuthority;
  readonly publicKeySpki: Buffer;
  /** What the certificate is (URI SAN). */
  readonly part?: PartName;
  /** Subject CN; default: the part's name or first DNS name. */
  readonly commonName?: string;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly identity?: Identity;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly usage: 'client' | 'server' | 'both';
}

/** A leaf certificate (DER). @throws KEY_INVALID, PART_NAME_INVALID, IDENTITY_INVALID */
export async function issueTlsCertificate(request: TlsCertificateRequest): Promise<Buffer> {
  return pending();
}
