/** X.509 certificates of parts and people against the authorities trusted for them. */
import type { Identity } from './identity.js';
import type { PartName } from './part-name.js';
import { pending } from './pending.js';

export interface TlsCheck {
  /** CA certificates, DER. */
  readonly authorities: readonly Buffer[];
  readonly nowMs: number;
  /** Slack at both ends. Default 0. */
  readonly toleranceMs?: number;
  /** Demands this extended key usage. */
  readonly usage?: 'client' | 'server';
  /** Further certificates that the peer sent; used only to name the reason of a refusal. */
  readonly chain?: readonly Buffer[];
}

export interface VerifiedTls {
  readonly part: PartName | undefined;
  /** Always there when `part` is a user, never otherwise. */
  readonly identity?: Identity;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string;
  readonly spki: Buffer;
  readonly commonName: string | undefined;
  readonly dnsNames: readonly string[];
}

/** @throws CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_REFUSED, IDENTITY_INVALID with a reason */
export function verifyTlsCertificate(der: Buffer, check: TlsCheck): VerifiedTls {
  return pending();
}

export interface PartCheck extends Omit<TlsCheck, 'authorities'> {
  /** `user_tls`: may speak for users only. */
  readonly userAuthorities: readonly Buffer[];
  /** `host_tls`: may speak for services and agents only. */
  readonly hostAuthorities: readonly Buffer[];
}

/** As verifyTlsCertificate, and the kind of part must fit the CA that signed (CRT-08). `part` is always there. */
export function verifyPartCertificate(der: Buffer, check: PartCheck): VerifiedTls & { readonly part: PartName } {
  return pending();
}

/** `sha256:` + hex of the SHA-256 of a CA certificate's SPKI. @throws CERTIFICATE_REFUSED */
export function caPin(caDer: Buffer): string {
  return pending();
}
