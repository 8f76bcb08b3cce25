/** What can stand in the way of a start at home, each with a line on what to do. */
import { createErrorFactory } from '@gatehouse/kit/errors';

export const standaloneErrors = {
  DATA_DIR_IN_USE: {
    kind: 'failed_precondition',
    message: '{dir} is in use by process {pid}',
    remedy: 'stop that process, or use another --data-dir',
  },
  DATA_DIR_UNUSABLE: {
    kind: 'failed_precondition',
    message: "can't use {dir} as data directory: {why}",
    remedy: 'make it writable for you, or use another --data-dir',
  },
  PORT_TAKEN: {
    kind: 'failed_precondition',
    message: 'port {port} is taken by another program',
    remedy: 'npm start -- --port 0 (any free one), or another number',
  },
  PORT_FORBIDDEN: {
    kind: 'failed_precondition',
    message: 'this user may not listen on port {port}',
    remedy:
      'npm start -- --port 8443, or another number from 1024 on; lower ones are for privileged users',
  },
  ADDRESS_UNKNOWN: {
    kind: 'failed_precondition',
    message: '{listen} is not an address of this machine',
    remedy: 'npm start -- --listen 0.0.0.0 (every one that it has), or one of those',
  },
  DATABASE_UNUSABLE: {
    kind: 'failed_precondition',
    message: "the database in {dir} can't be opened: {why}",
    remedy:
      'move that folder aside (nothing was changed) and start again, or restore a backup into it',
  },
  DATABASE_LOST: {
    kind: 'unavailable',
    message: 'the database in {dir} has ended: {why}',
    remedy: 'start again: what was committed is there',
  },
  DATABASE_ENGINE_CHANGED: {
    kind: 'failed_precondition',
    message: 'the database in {dir} was written by engine {written}, this is {version}',
    remedy: 'start the version that wrote it; see docs/operations.md',
  },
  FLAG_INVALID: { kind: 'invalid_argument', message: '{why}', remedy: 'npm start -- --help' },
} as const;

export const standaloneError = createErrorFactory(standaloneErrors);
