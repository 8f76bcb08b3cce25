/** Errors of proxy-service beyond those of the host's contract (`hostErrors` of protocols/api). */
import { createErrorFactory } from '@gatehouse/kit/errors';

export const proxyErrors = {
  SESSION_ENDED: { kind: 'failed_precondition', message: '{message}' },
  ACCESS_CHANGED: { kind: 'permission_denied', message: 'access changed' },
  IDENTITIES_DIFFER: {
    kind: 'unauthenticated',
    message:
      'certificate is not accepted: the connection and the login inside it are of different people',
  },
  POLICY_STALE: {
    kind: 'unavailable',
    message: 'policy view is stale: no word from auth-service; try again shortly',
  },
  LOCK_UNREADABLE: {
    kind: 'failed_precondition',
    message: 'a lock is not understood here and may name anybody: no session is opened',
    remedy: 'an administrator has to mend or delete the lock that /readyz and the log speak of',
  },
  SESSION_MFA_NEEDED: {
    kind: 'failed_precondition',
    message: 'a second factor is needed for each session, which this version can not ask for',
  },
  END_TO_END_NOT_AVAILABLE: {
    kind: 'failed_precondition',
    message: 'ssh_session: end_to_end is not available yet, and a role asks for it',
    remedy: 'an administrator has to take ssh_session out of the role',
  },
  PROXY_NO_EVENT_LOG: {
    kind: 'failed_precondition',
    message: 'a proxy of its own needs an event log that all services share',
    remedy: 'set event_log: {type: kafka, brokers: […]}',
  },
  PROXY_STOPPING: { kind: 'unavailable', message: 'this proxy is stopping; connect again' },
} as const;

export const proxyError = createErrorFactory(proxyErrors);
