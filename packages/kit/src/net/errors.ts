/** Errors of the socket helpers. */
import { createErrorFactory } from '../errors/errors.js';

export const netErrors = {
  PROXY_HEADER_INVALID: {
    kind: 'invalid_argument',
    message: 'the PROXY header is not valid: {why}',
  },
  NET_NO_CONNECTION: { kind: 'unavailable', message: 'none of {addresses} takes a connection' },
  PROXY_HEADER_TIMEOUT: { kind: 'deadline_exceeded', message: 'no PROXY header within {ms} ms' },
} as const;

export const netError = createErrorFactory(netErrors);
