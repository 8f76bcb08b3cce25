/** Errors of the database layer. */
import { createErrorFactory } from '../errors/errors.js';

export const postgresErrors = {
  MIGRATION_FAILED: {
    kind: 'internal',
    message: 'the database could not be migrated: {migration}',
    remedy: 'read the cause in the log; the failed migration was rolled back',
  },
  MIGRATION_NAME: {
    kind: 'internal',
    message: 'a migration is not named NNNN_name.sql, or its number is taken: {file}',
  },
  MIGRATION_MISSING: {
    kind: 'failed_precondition',
    message: 'the database is behind this release: it lacks {migrations}',
    remedy:
      'run `{service} migrate --config FILE` as the owner of the tables, or set database.migrations to apply',
  },
  DATABASE_SETTINGS: {
    kind: 'invalid_argument',
    message: 'a database needs either url or socketPath (…/.s.PGSQL.<port>)',
  },
  DATABASE_UNAVAILABLE: {
    kind: 'unavailable',
    message: 'the database cannot be reached just now',
    remedy: 'try again shortly',
  },
  COORDINATION_CLOSED: { kind: 'unavailable', message: 'the service is stopping' },
} as const;

export const postgresError = createErrorFactory(postgresErrors);
