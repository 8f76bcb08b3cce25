/** Errors of audit-service. */
import { createErrorFactory } from '@gatehouse/kit/errors';

export const auditErrors = {
  AUDIT_NO_EVENT_LOG: {
    kind: 'failed_precondition',
    message: 'this service has no event log to read',
    remedy: 'set event_log: {type: kafka, brokers: […]}',
  },
  AUDIT_LOGIN_ENDED: {
    kind: 'unauthenticated',
    message: 'this login has ended',
    remedy: 'gate login',
  },
  AUDIT_LOCKED: { kind: 'failed_precondition', message: 'locked: {message}' },
  AUDIT_NOT_READY: {
    kind: 'unavailable',
    message: 'audit-service does not know the cluster’s roles yet; try again shortly',
  },
  AUDIT_FILTER: { kind: 'invalid_argument', message: 'the filter is not valid: {why}' },
  AUDIT_PAGE_TOKEN: { kind: 'invalid_argument', message: 'this page token is not for this search' },
  AUDIT_DENIED: { kind: 'permission_denied', message: 'no role of yours may {what}' },
  DEAD_LETTER_UNKNOWN: {
    kind: 'not_found',
    message: 'no such dead letter: {id}',
    remedy: 'gate audit dead ls --all',
  },
  DEAD_LETTER_CUT: {
    kind: 'failed_precondition',
    message: 'only the beginning of {id} is kept; it can’t be put back',
  },
  RECORDING_HIDDEN: {
    kind: 'not_found',
    message: 'no such recording or no access: {id}',
    remedy: 'gate recordings ls',
  },
  RECORDING_INCOMPLETE: {
    kind: 'unavailable',
    message: 'a part of the recording can’t be read just now',
  },
  CHUNK_CONFLICT: { kind: 'already_exists', message: 'another chunk is stored in this place' },
} as const;

export const auditError = createErrorFactory(auditErrors);
