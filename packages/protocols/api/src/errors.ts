/** Refusals of the host that every protocol says in its own words. The texts are those of the acceptance scenarios. */
import { createErrorFactory } from '@gatehouse/kit/errors';

export const hostErrors = {
  CERTIFICATE_MISSING: {
    kind: 'unauthenticated',
    message: 'a certificate is needed; run gate login',
    remedy: 'gate login',
  },
  TARGET_HIDDEN: {
    kind: 'not_found',
    message: 'no such target or no access: {target}',
    remedy: 'gate ls',
  },
  LOGIN_NOT_ALLOWED: {
    kind: 'permission_denied',
    message: 'denied: no role of {user} allows login "{login}" on {target}',
    remedy: 'gate ls {target}',
  },
  DATABASE_NOT_ALLOWED: {
    kind: 'permission_denied',
    message:
      'denied: no role of {user} allows database user "{login}" on database "{database}" of {target}',
    remedy: 'gate db ls',
  },
  ROUTE_DIFFERS: {
    kind: 'permission_denied',
    message: 'denied: the certificate is for {route} alone',
    remedy: 'gate db login {target}',
  },
  LOCKED: { kind: 'failed_precondition', message: 'locked: {message}' },
  TARGET_OFFLINE: { kind: 'unavailable', message: 'agent for {target} is offline' },
  TARGET_UNREACHABLE: { kind: 'unavailable', message: 'could not reach {target}: {why}' },
  TARGET_LOGIN_FAILED: {
    kind: 'failed_precondition',
    message: 'could not log in to {target}: {why}',
  },
  DIAL_REFUSED_BY_AGENT: {
    kind: 'permission_denied',
    message: 'the agent of {target} refused: {why}',
  },
  AUTH_UNAVAILABLE: {
    kind: 'unavailable',
    message: 'cannot be reached without auth-service just now; try again shortly',
  },
  AUDIT_UNAVAILABLE: { kind: 'unavailable', message: 'audit is not available' },
  RECORDING_UNAVAILABLE: { kind: 'unavailable', message: 'recording is not available' },
  SESSION_LIMIT: { kind: 'resource_exhausted', message: 'limit of {limit} sessions' },
  PROTOCOL_ERROR: { kind: 'invalid_argument', message: 'not understood: {why}' },
} as const;

export const hostError = createErrorFactory(hostErrors);
