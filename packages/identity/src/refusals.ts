/** How certificates are refused, the same for SSH and X.509. */
import type { GatehouseError } from '@gatehouse/kit/errors';

import { identityError, type RefusalReason } from './errors.js';

/** CERTIFICATE_REFUSED; `why` completes "certificate is not accepted: …". */
export function refuse(why: string, reason: RefusalReason): GatehouseError {
  return identityError('CERTIFICATE_REFUSED', { details: { why }, reason });
}

/** The refusal of bytes that are no certificate. */
export function malformed(why: string): GatehouseError {
  return refuse(why, 'malformed');
}

export function refuseCertificateAsCa(): GatehouseError {
  return refuse('signature key is a certificate', 'certificate_as_ca');
}

export interface Validity {
  readonly fromMs: number;
  /** The first moment at which it no longer holds. */
  readonly untilMs: number;
}

/** @throws CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID unless from ≤ now < until, give or take the tolerance */
export function checkValidity(
  { fromMs, untilMs }: Validity,
  at: { nowMs: number; toleranceMs?: number },
): void {
  const toleranceMs = at.toleranceMs ?? 0;
  if (!(at.nowMs < untilMs + toleranceMs)) {
    throw identityError('CERTIFICATE_EXPIRED', {
      details: { at: formatTime(untilMs) },
      reason: 'expired',
    });
  }
  if (!(at.nowMs >= fromMs - toleranceMs)) {
    throw identityError('CERTIFICATE_NOT_YET_VALID', {
      details: { from: formatTime(fromMs) },
      reason: 'not_yet_valid',
    });
  }
}

/** RFC 3339 to the second. Certificates may name moments that a Date cannot hold. */
function formatTime(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? 'never' : `${date.toISOString().slice(0, 19)}Z`;
}
