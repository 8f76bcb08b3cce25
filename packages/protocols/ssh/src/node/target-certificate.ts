/** Whom a built-in node lets in: certificates of `target_ssh` for exactly the login of the grant (D16, D20). */
import { parseSshCertificate, verifySshSignature, type SshCertificate } from '@gatehouse/identity';

import { sshError } from '../errors.js';

export interface TargetCertificateCheck {
  /** `target_ssh` keys, wire blobs. */
  readonly authorities: readonly Buffer[];
  readonly nowMs: number;
  readonly login: string;
}

/** @throws SSH_NODE_REFUSED, and CERTIFICATE_REFUSED for what is no certificate */
export function verifyTargetCertificate(
  blob: Buffer,
  check: TargetCertificateCheck,
): SshCertificate {
  const certificate = parseSshCertificate(blob);
  const why = refusalOf(certificate, check);
  if (why !== undefined)
    throw sshError('SSH_NODE_REFUSED', { details: { why }, reason: 'certificate' });
  return certificate;
}

function refusalOf(certificate: SshCertificate, check: TargetCertificateCheck): string | undefined {
  if (certificate.type !== 'user') return 'not a user certificate';
  if (!check.authorities.some((authority) => authority.equals(certificate.signatureKey))) {
    return 'signed by an unknown authority';
  }
  if (
    !verifySshSignature(certificate.signatureKey, certificate.signedBytes, certificate.signature)
  ) {
    return 'its signature is not valid';
  }
  const { validAfterMs, validBeforeMs } = certificate;
  if (check.nowMs < validAfterMs || check.nowMs >= validBeforeMs) return 'not valid at this time';
  if (!certificate.principals.includes(check.login)) return 'not for this login';
  return certificate.criticalOptions.size > 0
    ? 'restricted in a way that is not known here'
    : undefined;
}
