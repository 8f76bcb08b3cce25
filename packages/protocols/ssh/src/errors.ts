/** Errors of the SSH facets, and what an error kind becomes on the wire (RFC 4253 §11.1, RFC 4254 §5.1). */
import { createErrorFactory, type ErrorKind, type GatehouseError } from '@gatehouse/kit/errors';

export const sshErrors = {
  SSH_NO_CERTIFICATE: {
    kind: 'unauthenticated',
    message: 'a certificate is needed; run gate login',
    remedy: 'gate login',
  },
  SSH_USER_CHANGED: {
    kind: 'unauthenticated',
    message: 'user name changed during authentication',
  },
  SSH_TOO_MANY_TRIES: { kind: 'unauthenticated', message: 'too many authentication failures' },
  SSH_BAD_SIGNATURE: {
    kind: 'unauthenticated',
    message: 'the signature is not by the key of the certificate',
  },
  SSH_IDENTITY_DIFFERS: {
    kind: 'unauthenticated',
    message: 'the SSH certificate is not of the person who opened the connection',
  },
  SSH_LOGIN_DIFFERS: {
    kind: 'invalid_argument',
    message: 'login "{login}" is not the one the connection was opened for ("{expected}")',
  },
  SSH_USER_NAME: {
    kind: 'invalid_argument',
    message: 'not a user name: expected login@target',
  },
  SSH_HOST_KEY: {
    kind: 'failed_precondition',
    message: 'host key of {target} is not the expected one: {fingerprint}',
  },
  SSH_ALGORITHMS: {
    kind: 'failed_precondition',
    message: 'could not reach {target}: target offers only {algorithms}',
  },
  SSH_NO_COMMON_ALGORITHM: {
    kind: 'invalid_argument',
    message: 'no common algorithm: {what}',
  },
  SSH_TARGET_REFUSED_LOGIN: {
    kind: 'permission_denied',
    message: 'could not log in to {target} as {login}: the target refused the certificate',
  },
  SSH_TARGET_LOST: { kind: 'unavailable', message: 'could not reach {target}: {why}' },
  SSH_CLIENT_LEFT: { kind: 'unavailable', message: 'the client left' },
  SSH_TIMED_OUT: { kind: 'deadline_exceeded', message: 'authentication took too long' },
  SSH_PROTOCOL: { kind: 'invalid_argument', message: 'not understood: {why}' },
  SSH_NODE_REFUSED: { kind: 'failed_precondition', message: 'the node refused: {why}' },
} as const;

export const sshError = createErrorFactory(sshErrors);

/** Reason codes of SSH_MSG_DISCONNECT (RFC 4253 §11.1). */
export const disconnectReason = {
  protocolError: 2,
  keyExchangeFailed: 3,
  serviceNotAvailable: 7,
  hostKeyNotVerifiable: 9,
  connectionLost: 10,
  byApplication: 11,
  tooManyConnections: 12,
  noMoreAuthMethods: 14,
  illegalUserName: 15,
} as const;

/** Reason codes of SSH_MSG_CHANNEL_OPEN_FAILURE (RFC 4254 §5.1). */
export const openFailure = {
  administrativelyProhibited: 1,
  connectFailed: 2,
  unknownChannelType: 3,
  resourceShortage: 4,
} as const;

const disconnectByKind: Readonly<Record<ErrorKind, number>> = {
  invalid_argument: disconnectReason.protocolError,
  unauthenticated: disconnectReason.noMoreAuthMethods,
  permission_denied: disconnectReason.byApplication,
  not_found: disconnectReason.byApplication,
  already_exists: disconnectReason.byApplication,
  failed_precondition: disconnectReason.byApplication,
  conflict: disconnectReason.byApplication,
  resource_exhausted: disconnectReason.tooManyConnections,
  deadline_exceeded: disconnectReason.byApplication,
  unavailable: disconnectReason.serviceNotAvailable,
  internal: disconnectReason.byApplication,
};

/** The reason code that goes with an error in SSH_MSG_DISCONNECT. */
export function disconnectReasonOf(error: GatehouseError): number {
  return disconnectByKind[error.kind];
}

/** One line for a person: what happened, and the id under which the log has it. */
export function describeError(error: GatehouseError): string {
  return `${oneLine(error.publicMessage)} (${error.id})`;
}

/** Text of USERAUTH_BANNER for an error: the same, with the remedy on a line of its own. */
export function bannerOf(error: GatehouseError): string {
  const fix = error.remedy === undefined ? '' : `  fix: ${oneLine(error.remedy)}\r\n`;
  return `gatehouse: ${oneLine(error.publicMessage)}\r\n${fix}  id: ${error.id}\r\n`;
}

function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- what a terminal would act on must not come from outside
  return text.replace(/[\x00-\x1f\x7f]+/g, ' ').slice(0, 1000);
}
