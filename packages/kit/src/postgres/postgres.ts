/**
 * One way to a database, for PostgreSQL and for PGlite behind its socket: `pg` and kysely's PostgresDialect.
 *
 * PGlite is one session for everybody, so there are no named statements, no `SET` and no advisory locks of one's own:
 * what needs a lock or a notice of change goes through {@link Coordination}.
 */
export { createDatabase, type DatabaseOptions } from './database.js';
export {
  createCoordination,
  type Coordination,
  type CoordinationOptions,
  type LockedTransaction,
} from './coordination.js';
export {
  expectMigrated,
  migrate,
  migrationsFolder,
  prepareDatabase,
  type MigrateOptions,
} from './migrate.js';
export { databaseAddress, databaseSchema, type DatabaseSettings } from './settings.js';
export { postgresErrors } from './errors.js';
export {
  serveEmbedded,
  type EmbeddedEngine,
  type EmbeddedServerOptions,
} from './embedded-server.js';
