/** Who may pass: SSH user and host certificates against the authorities trusted for them. */
import { identityFailure, type Identity } from './identity.js';
import { checkValidity, malformed, refuse } from './refusals.js';
import { checkRestrictions } from './source-address.js';
import { parseSshCertificate, type SshCertificate } from './ssh-certificate.js';
import { checkSshPublicKey } from './ssh-keys.js';
import { verifySshSignature } from './ssh-signature.js';

interface SshCheck {
  /** Wire blobs of the plain keys that are trusted for this kind of certificate. */
  readonly authorities: readonly Buffer[];
  readonly nowMs: number;
  /** Slack at both ends of the validity. Default 0 (D34: certificates end without grace). */
  readonly toleranceMs?: number;
}

export interface SshUserCheck extends SshCheck {
  /**
   * `ip`, `ip:port` or `[ip]:port` of the client. Without it a certificate that is bound to an address is refused;
   * `checked_elsewhere` says that another part has met the client and checked it there.
   */
  readonly clientAddress?: string;
}

export interface VerifiedSshUser {
  readonly certificate: SshCertificate;
  readonly identity: Identity;
  readonly validBeforeMs: number;
}

/**
 * Verifies a person's certificate: kind, CA and its signature, times, payload, principals (exactly the user's name),
 * critical options (`source-address` is the only known one) and the payload's `sourceIp`. Locks and roles are the
 * caller's. Takes about 0.2 ms for Ed25519; cache by fingerprint of the blob where that is too much.
 * @throws CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_REFUSED, IDENTITY_INVALID, SOURCE_ADDRESS, each
 * with a {@link RefusalReason}
 */
export function verifySshUserCertificate(blob: Buffer, check: SshUserCheck): VerifiedSshUser {
  const certificate = verifyCertificate(blob, 'user', check);
  const { identity } = certificate;
  if (!identity) throw identityFailure('is missing');
  if (certificate.principals.length !== 1 || certificate.principals[0] !== identity.user) {
    throw refuse('its principal is not its user', 'principal');
  }
  refuseUnknownOptions(certificate, ['source-address']);
  if (check.clientAddress !== 'checked_elsewhere') {
    checkRestrictions(readRanges(certificate, identity), check.clientAddress);
  }
  return { certificate, identity, validBeforeMs: certificate.validBeforeMs };
}

export interface SshHostCheck extends SshCheck {
  /** The name that the client meant; must be among the principals. */
  readonly principal: string;
}

/** Verifies a host's certificate. @throws as {@link verifySshUserCertificate}; reason `principal` for another host's */
export function verifySshHostCertificate(blob: Buffer, check: SshHostCheck): SshCertificate {
  const certificate = verifyCertificate(blob, 'host', check);
  if (!certificate.principals.includes(check.principal))
    throw refuse('it is for another host', 'principal');
  refuseUnknownOptions(certificate, []);
  return certificate;
}

function verifyCertificate(blob: Buffer, type: 'user' | 'host', check: SshCheck): SshCertificate {
  const certificate = parseSshCertificate(blob);
  if (certificate.type !== type)
    throw refuse(`it is a ${certificate.type} certificate`, 'wrong_kind');
  const authority = check.authorities.find((key) => key.equals(certificate.signatureKey));
  if (!authority) throw refuse('its CA is not trusted', 'unknown_ca');
  if (!verifySshSignature(authority, certificate.signedBytes, certificate.signature)) {
    throw refuse('its CA has not signed it', 'unknown_ca');
  }
  readCertifiedKey(certificate.publicKey);
  checkValidity({ fromMs: certificate.validAfterMs, untilMs: certificate.validBeforeMs }, check);
  return certificate;
}

/** A CA certifies bytes; that they are an acceptable key (RSA from 2048 bits, a point on the curve) is for us to see. */
function readCertifiedKey(blob: Buffer): void {
  try {
    checkSshPublicKey(blob);
  } catch {
    throw malformed('its key is not acceptable');
  }
}

function refuseUnknownOptions(certificate: SshCertificate, known: readonly string[]): void {
  for (const name of certificate.criticalOptions.keys()) {
    if (!known.includes(name))
      throw refuse('it has a critical option that is not known', 'critical_option');
  }
}

/** One list for each restriction; the client must be in all of them. */
function readRanges(certificate: SshCertificate, identity: Identity): string[][] {
  const option = certificate.criticalOptions.get('source-address');
  return [
    ...(option === undefined ? [] : [option.split(',')]),
    ...(identity.sourceIp === undefined ? [] : [[identity.sourceIp]]),
  ];
}
