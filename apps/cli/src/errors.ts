/** What `gate` itself can say went wrong. Errors of services come with their own texts and ids. */
import { createErrorFactory, type GatehouseError } from '@gatehouse/kit/errors';

/** The table. */
export const cliErrors = {
  USAGE: { kind: 'invalid_argument', message: '{what}' },
  OPTION_MISSING: {
    kind: 'invalid_argument',
    message: '{what} is missing: give {flag}',
  },
  NO_CLUSTER: {
    kind: 'failed_precondition',
    message: 'no cluster is known: give --proxy HOST:PORT',
    remedy: 'gate login --proxy HOST:PORT',
  },
  NOT_LOGGED_IN: {
    kind: 'unauthenticated',
    message: 'not logged in to {proxy}',
    remedy: 'gate login --proxy {proxy}',
  },
  LOGIN_EXPIRED: {
    kind: 'unauthenticated',
    message: 'certificate expired at {at}; run gate login',
    remedy: 'gate login',
  },
  HOME_UNSAFE: {
    kind: 'failed_precondition',
    message: 'permissions are too open: {path} {why}',
    remedy: '{fix}',
  },
  HOME_UNUSABLE: { kind: 'failed_precondition', message: 'can not use {path}: {why}' },
  PROFILE_BROKEN: {
    kind: 'failed_precondition',
    message: '{path} is not what gate wrote there',
    remedy: 'gate login',
  },
  PROXY_UNREACHABLE: { kind: 'unavailable', message: 'could not reach {proxy}: {why}' },
  PROXY_UNTRUSTED: {
    kind: 'unavailable',
    message: 'will not trust {proxy}: {why}',
    remedy: 'ask for the right --ca-pin sha256:…, or see what answers on that address',
  },
  PIN_NEEDED: {
    kind: 'failed_precondition',
    message: 'will not trust {proxy}: {why}, and no pin is known',
    remedy:
      'give --ca-pin sha256:… once; whoever runs the cluster finds it in ready.json, and the invitation page shows it',
  },
  NOT_A_CLUSTER: { kind: 'unavailable', message: '{proxy} does not answer like Gatehouse: {why}' },
  FILE_UNREADABLE: { kind: 'invalid_argument', message: 'can not read {path}: {why}' },
  FILE_UNWRITABLE: { kind: 'failed_precondition', message: 'can not write {path}: {why}' },
  PROGRAM_MISSING: {
    kind: 'failed_precondition',
    message: '{program} is not installed',
    remedy: '{fix}',
  },
  NOT_CONFIRMED: {
    kind: 'failed_precondition',
    message: 'did not {what}: it was not confirmed',
    remedy: 'answer y, or add --yes',
  },
  PORT_UNUSABLE: { kind: 'failed_precondition', message: 'can not listen on port {port}: {why}' },
  NOT_FOUND: { kind: 'not_found', message: 'no such {what}' },
  EDITOR_FAILED: {
    kind: 'failed_precondition',
    message: 'the editor failed: {where}',
  },
  NOT_YET: { kind: 'invalid_argument', message: '{what} is not part of this version' },
} as const;

/** Makes an error of the table. */
export const cliError = createErrorFactory(cliErrors);

/** A wrong use of the command line: exit code 2. */
export function usageError(what: string, remedy?: string): GatehouseError {
  return cliError('USAGE', { details: { what }, ...(remedy === undefined ? {} : { remedy }) });
}
