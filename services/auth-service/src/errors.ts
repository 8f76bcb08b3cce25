/** Everything auth-service refuses, in the words people read. */
import { createErrorFactory } from '@gatehouse/kit/errors';

export const authErrors = {
  KEK_MISMATCH: {
    kind: 'failed_precondition',
    message: 'key-encryption key does not match',
    remedy: 'point kek_file at the key this database was made with',
  },
  KEY_FILE_INVALID: {
    kind: 'invalid_argument',
    message: '{file} holds no usable key: {why}',
    remedy: 'write 32 random bytes as base64 or hex, a key a line, the active one first',
  },
  CLUSTER_MISMATCH: {
    kind: 'failed_precondition',
    message: 'this database belongs to cluster "{stored}", not to "{configured}"',
  },
  SEAL_BROKEN: { kind: 'internal', message: 'a sealed value could not be opened' },

  LOGIN_FAILED: { kind: 'unauthenticated', message: 'wrong user name, password or code' },
  LOGIN_SLOWED: {
    kind: 'resource_exhausted',
    message: 'too many failed logins from this address; try again in {seconds} s',
  },
  LOGIN_BUSY: {
    kind: 'resource_exhausted',
    message: 'too many logins just now; try again shortly',
  },
  PERSON_LOCKED: { kind: 'failed_precondition', message: 'locked: {message}' },
  ROLE_UNREADABLE: {
    kind: 'failed_precondition',
    message: 'role "{role}" is not understood here, so what it forbids is not known',
    remedy:
      'an administrator without this role has to mend it (gate apply) or delete it (gate delete role/{role})',
  },
  LOGIN_ENDED: {
    kind: 'unauthenticated',
    message: 'this login has ended; run gate login',
    remedy: 'gate login',
  },
  CERTIFICATE_SOURCE: {
    kind: 'unauthenticated',
    message: 'this certificate is not for use from {address}',
  },
  KEY_REFUSED: { kind: 'invalid_argument', message: 'the public key is not accepted: {why}' },
  KEYS_SAME: {
    kind: 'invalid_argument',
    message: 'a key of a certificate authority is not accepted',
  },
  DATABASE_USER_INVALID: {
    kind: 'invalid_argument',
    message: 'the database user has no valid name',
  },
  ROUTE_INVALID: { kind: 'invalid_argument', message: 'the route is not valid: {why}' },

  LINK_INVALID: { kind: 'not_found', message: 'this link is not valid' },
  PASSWORD_WEAK: { kind: 'invalid_argument', message: 'the password is not accepted: {why}' },

  NOT_ALLOWED: { kind: 'permission_denied', message: 'no role of {user} allows to {verb} {kind}' },
  LAST_ADMINISTRATOR: {
    kind: 'failed_precondition',
    message: 'this would leave the cluster without an administrator',
  },
  KIND_UNKNOWN: {
    kind: 'invalid_argument',
    message: 'kind: "{kind}" is not known; one of {known}',
  },
  DOCUMENT_INVALID: { kind: 'invalid_argument', message: 'the document is not valid: {problems}' },
  DOCUMENT_MISSING: { kind: 'not_found', message: 'no {kind} "{name}"' },
  DOCUMENT_EXISTS: { kind: 'already_exists', message: '{kind} "{name}" exists already' },
  NAME_CASE: {
    kind: 'invalid_argument',
    message: 'metadata.name: "{name}" differs only in case from "{taken}"',
  },
  REVISION_OLD: {
    kind: 'conflict',
    message: '{kind} "{name}" was changed since: its revision is {current}, not {given}',
    remedy: 'gate get {kind}/{name}, then apply your change to that',
  },
  BUILTIN: {
    kind: 'failed_precondition',
    message: '{kind} "{name}" is built in and stays as it is',
  },
  MANAGED_BY_AGENT: {
    kind: 'failed_precondition',
    message: '{kind} "{name}" is described by its agent: {why}',
  },
  TARGET_NOT_ALLOWED: {
    kind: 'permission_denied',
    message: 'agent "{agent}" takes no {kind} "{name}" from documents',
    remedy: 'add the name to `dynamic` in the configuration of the agent',
  },
  AGENT_UNKNOWN: { kind: 'invalid_argument', message: 'spec.agent: no agent "{agent}"' },
  LOCK_PAST: { kind: 'invalid_argument', message: 'expires_at: lies in the past' },
  PAGE_TOKEN: { kind: 'invalid_argument', message: 'page_token: is not one of this list' },
  SESSION_MISSING: { kind: 'not_found', message: 'no session {id}' },

  JOIN_SECRET_WRONG: { kind: 'unauthenticated', message: 'the join secret does not match' },
  ENROLLMENT_INVALID: { kind: 'invalid_argument', message: 'the request is not valid: {why}' },
  JOIN_TOKEN_INVALID: {
    kind: 'permission_denied',
    message: 'join token is not valid',
    remedy: 'gate tokens add --type agent',
  },
  AGENT_NAME_TAKEN: {
    kind: 'permission_denied',
    message: 'the name "{name}" is in use by another agent',
    remedy: 'choose another name, or gate delete agent/{name}',
  },
  AGENT_GROUP: {
    kind: 'permission_denied',
    message: 'this join token is not for the agent group "{group}"',
    remedy: 'gate tokens add --type agent --group {group}',
  },
  AGENT_BUSY: {
    kind: 'unavailable',
    message: 'earlier registrations of this agent are still under way',
  },
  AGENT_REFUSED: { kind: 'permission_denied', message: 'this agent is not accepted: {why}' },
  NOT_YOURS: { kind: 'permission_denied', message: 'not one of your targets: {name}' },

  PROOF_USED: { kind: 'already_exists', message: 'this proof was used before' },
  PROOF_MISSING: {
    kind: 'permission_denied',
    message: 'the person has not shown a proof to this proxy',
  },
  NO_LOGIN: {
    kind: 'permission_denied',
    message: 'no role of {user} allows a login on any node',
  },
  WATCH_INVALID: { kind: 'invalid_argument', message: 'kinds: {why}' },
} as const;

export const authError = createErrorFactory(authErrors);
