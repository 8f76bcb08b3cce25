/** Errors of the event log and of events themselves. */
import { createErrorFactory } from '../errors/errors.js';

export const eventLogErrors = {
  EVENT_UNDECODABLE: { kind: 'invalid_argument', message: 'not an audit event: {why}' },
  CHUNK_UNDECODABLE: { kind: 'invalid_argument', message: 'not a recording chunk: {why}' },
  EVENT_LOG_TOO_LARGE: {
    kind: 'resource_exhausted',
    message: 'the event log refuses a batch or record of this size',
  },
  EVENT_LOG_UNAVAILABLE: { kind: 'unavailable', message: 'the event log is not available' },
  EVENT_LOG_CLOSED: { kind: 'unavailable', message: 'the event log is closed' },
} as const;

export const eventLogError = createErrorFactory(eventLogErrors);
