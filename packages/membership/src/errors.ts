import { createErrorFactory } from '@gatehouse/kit/errors';

export const membershipErrors = {
  ENROLLMENT_REFUSED: {
    kind: 'unauthenticated',
    message: 'auth-service did not take this service: {why}',
    remedy: 'compare join_secret_file of both',
  },
  WRONG_SERVER: {
    kind: 'unauthenticated',
    message: 'the other end is not a {kind} service of {cluster}',
  },
  CALLER_UNKNOWN: { kind: 'unauthenticated', message: 'certificate is not accepted: {why}' },
} as const;

export const membershipError = createErrorFactory(membershipErrors);
