/** Who may pass: SSH user and host certificates against the authorities trusted for them. */
import type { Identity } from './identity.js';
import { pending } from './pending.js';
import type { SshCertificate } from './ssh-certificate.js';

export interface SshUserCheck {
  /** Wire blobs of the keys trusted as `user_ssh`. */
  readonly authorities: readonly Buffer[];
  readonly nowMs: number;
  /** Slack at both ends of the validity. Default 0 (D34: certificates end without grace). */
  readonly toleranceMs?: number;
  /** `ip`, `ip:port` or `[ip]:port`; without it a certificate bound to an address is refused. */
  readonly clientAddress?: string;
}

export interface VerifiedSshUser {
  readonly certificate: SshCertificate;
  readonly identity: Identity;
  readonly validBeforeMs: number;
}

/** @throws CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_REFUSED, IDENTITY_INVALID, SOURCE_ADDRESS with a {@link RefusalReason} */
export function verifySshUserCertificate(blob: Buffer, check: SshUserCheck): VerifiedSshUser {
  return pending();
}

export interface SshHostCheck {
  readonly authorities: readonly Buffer[];
  readonly nowMs: number;
  readonly toleranceMs?: number;
  /** The name the client meant; must be among the principals. */
  readonly principal: string;
}

export function verifySshHostCertificate(blob: Buffer, check: SshHostCheck): SshCertificate {
  return pending();
}
