/** Refusals of certificates, payloads, grants and keys. Each carries the `reason` word of the audit event (CRT-01 … CRT-10). */
import { createErrorFactory } from '@gatehouse/kit/errors';

/** Why a certificate, proof or grant is refused, as `connection.refused.reason` says it. */
export type RefusalReason =
  | 'expired'
  | 'not_yet_valid'
  | 'unknown_ca'
  | 'certificate_as_ca'
  | 'wrong_kind'
  | 'principal'
  | 'identity'
  | 'source_ip'
  | 'critical_option'
  | 'malformed'
  | 'signature'
  | 'replayed';

export const identityErrors = {
  CERTIFICATE_EXPIRED: {
    kind: 'unauthenticated',
    message: 'certificate expired at {at}; run gate login',
    remedy: 'gate login',
  },
  CERTIFICATE_NOT_YET_VALID: {
    kind: 'unauthenticated',
    message: 'certificate is not valid before {from}; check the clock',
  },
  CERTIFICATE_REFUSED: {
    kind: 'unauthenticated',
    message: 'certificate is not accepted: {why}',
    remedy: 'gate login',
  },
  SOURCE_ADDRESS: {
    kind: 'unauthenticated',
    message: 'this certificate is not for use from {address}',
  },
  IDENTITY_INVALID: {
    kind: 'unauthenticated',
    message: 'certificate is not accepted: its identity payload {why}',
    remedy: 'gate login',
  },
  PROOF_REFUSED: {
    kind: 'unauthenticated',
    message: 'the proof of the person is not accepted: {why}',
  },
  GRANT_REFUSED: { kind: 'permission_denied', message: 'the grant is not accepted: {why}' },
  PART_NAME_INVALID: { kind: 'invalid_argument', message: 'not the name of a part: {why}' },
  KEY_INVALID: { kind: 'invalid_argument', message: 'not a usable key: {why}' },
  ENCODING_INVALID: { kind: 'invalid_argument', message: 'not understood: {why}' },
} as const;

export const identityError = createErrorFactory(identityErrors);
