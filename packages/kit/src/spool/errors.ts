/** Errors of the spool. */
import { createErrorFactory } from '../errors/errors.js';

export const spoolErrors = {
  SPOOL_IN_USE: {
    kind: 'failed_precondition',
    message: 'the spool {dir} is in use by process {pid}',
  },
  SPOOL_FULL: {
    kind: 'resource_exhausted',
    message: 'audit is not available',
    remedy: 'the spool is full: bring the event log back or give the spool more space',
  },
  SPOOL_NOT_ACKNOWLEDGED: { kind: 'deadline_exceeded', message: 'audit is not available' },
  SPOOL_SESSION_OPEN: { kind: 'already_exists', message: 'this session has a journal already' },
  SPOOL_SESSION_ENDED: { kind: 'failed_precondition', message: 'this session has ended' },
  SPOOL_CLOSED: { kind: 'unavailable', message: 'the spool is closed' },
} as const;

export const spoolError = createErrorFactory(spoolErrors);
