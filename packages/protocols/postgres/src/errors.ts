/** Errors of the PostgreSQL facets, and the SQLSTATE under which a client hears them (PostgreSQL §A). */
import { createErrorFactory, type ErrorKind, type GatehouseError } from '@gatehouse/kit/errors';

import { encodeErrorResponse } from './wire/encode.js';

export const postgresErrors = {
  POSTGRES_TLS_REQUIRED: {
    kind: 'unauthenticated',
    message: 'TLS is required',
    remedy: 'sslmode=verify-full; gate db login writes it to the service file',
  },
  POSTGRES_NO_TARGET: {
    kind: 'invalid_argument',
    message: 'which database server? the certificate is for none, and options names none',
    remedy: 'gate db login NAME, or options=-c gatehouse.target=NAME',
  },
  POSTGRES_TARGET_DIFFERS: {
    kind: 'permission_denied',
    message: 'the target in options is not the one that the connection is for',
  },
  POSTGRES_NO_USER: { kind: 'invalid_argument', message: 'no database user is named' },
  POSTGRES_NAME_INVALID: {
    kind: 'invalid_argument',
    message: 'the {what} {why}',
  },
  POSTGRES_SETTING_REFUSED: {
    kind: 'permission_denied',
    message: 'denied: {name} can not be set as the connection begins',
  },
  POSTGRES_REPLICATION_REFUSED: {
    kind: 'permission_denied',
    message: 'denied: no role of {user} allows replication from {target}',
  },
  POSTGRES_LOGIN_FAILED: { kind: 'failed_precondition', message: '{why}' },
  POSTGRES_TOO_MANY: { kind: 'resource_exhausted', message: 'too many sessions at this proxy' },
  POSTGRES_PROTOCOL: { kind: 'invalid_argument', message: 'not understood: {why}' },
} as const;

export const postgresError = createErrorFactory(postgresErrors);

/** SQLSTATE of what is said about a statement. */
export const sqlstates = {
  /** insufficient_privilege */
  denied: '42501',
  /** io_error: the audit did not take it */
  auditUnavailable: '58030',
  /** admin_shutdown */
  ended: '57P01',
  /** query_canceled */
  cancelled: '57014',
} as const;

const byKind: Readonly<Record<ErrorKind, string>> = {
  // invalid_authorization_specification, also for what may not be known to exist
  unauthenticated: '28000',
  permission_denied: '28000',
  not_found: '28000',
  failed_precondition: '28000',
  already_exists: '28000',
  conflict: '28000',
  // protocol_violation
  invalid_argument: '08P01',
  // too_many_connections
  resource_exhausted: '53300',
  // connection_failure
  deadline_exceeded: '08006',
  unavailable: '08006',
  internal: 'XX000',
};

/** The last words of a connection that is refused. */
export function encodeRefusal({ kind, publicMessage, remedy, id }: GatehouseError): Buffer {
  return encodeErrorResponse({
    severity: 'FATAL',
    sqlstate: byKind[kind],
    message: publicMessage,
    detail: `id: ${id}`,
    hint: remedy,
  });
}
