/** A pool of connections as a kysely database. */
import { Socket } from 'node:net';
import { basename, dirname } from 'node:path';

import { Kysely, PostgresDialect, type PostgresPool } from 'kysely';
import pg from 'pg';

import type { Logger } from '../log/log.js';
import { postgresError } from './errors.js';

export interface DatabaseOptions {
  /** `postgres://…` of a real server. */
  readonly url?: string;
  /** Path of PGlite's socket, `<directory>/.s.PGSQL.<port>`; at most 107 bytes. */
  readonly socketPath?: string;
  /** Default 10; behind PGlite's socket 4, because it runs one statement at a time. */
  readonly maxConnections?: number;
  /** Longest statement, default 30 s. PGlite's own limit is set where PGlite is started. */
  readonly statementTimeoutMs?: number;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName?: string;
  /** Told when an idle connection breaks; the pool opens another. */
  readonly logger?: Logger;
}

/**
 * Opens a database; connections are made when they are needed. The caller destroys it.
 *
 * `int8` comes back as a number (a value beyond 2⁵³ fails the query), `timestamptz` as a Date, `jsonb` parsed,
 * `bytea` as a Buffer, `numeric` as text.
 * @throws DATABASE_SETTINGS; queries DATABASE_UNAVAILABLE where there is no connection
 */
export function createDatabase<Schema>(options: DatabaseOptions): Kysely<Schema> {
  const pool = new pg.Pool(poolConfig(options));
  // The pool listens to idle clients only. One that breaks while it is used fails its query, too; nothing else is to happen.
  pool.on('connect', (client) => client.on('error', () => undefined));
  pool.on('error', (thrown) => {
    options.logger?.warn({ err: thrown }, 'database connection lost');
  });
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool: sayWhy(pool) }) });
}

/** Whoever asks while there is no server hears that it will pass; a server that refuses its user says so itself. */
function sayWhy(pool: pg.Pool): PostgresPool {
  return {
    options: pool.options,
    connect: async () =>
      pool.connect().catch((thrown: unknown) => {
        if (thrown instanceof pg.DatabaseError && !isPassing(thrown)) throw thrown;
        throw postgresError('DATABASE_UNAVAILABLE', { cause: thrown });
      }),
    end: async () => pool.end(),
  };
}

/** SQLSTATE classes of a server that starts, stops or has no room. */
function isPassing({ code }: pg.DatabaseError): boolean {
  return code !== undefined && /^(?:57P|53|08)/.test(code);
}

const defaultStatementTimeoutMs = 30_000;
/** What a server may take beyond its own limit until its word is here. */
const answerGraceMs = 5_000;
/** So long a connection stays open unused: less than any that waits for an answer. */
const idleTimeoutMs = 20_000;

/** Settings of one connection, shared by the pool and by listeners. */
export function connectionConfig(options: DatabaseOptions): pg.ClientConfig {
  const shared = {
    application_name: options.applicationName ?? 'gatehouse',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types: { getTypeParser },
  };
  if (options.url !== undefined && options.socketPath === undefined) {
    return {
      ...shared,
      connectionString: options.url,
      statement_timeout: options.statementTimeoutMs ?? defaultStatementTimeoutMs,
    };
  }
  const port = /^\.s\.PGSQL\.(\d+)$/.exec(basename(options.socketPath ?? ''))?.[1];
  if (options.socketPath === undefined || options.url !== undefined || port === undefined)
    throw postgresError('DATABASE_SETTINGS');
  return {
    ...shared,
    host: dirname(options.socketPath),
    port: Number(port),
    user: 'postgres',
    database: 'postgres',
  };
}

function poolConfig(options: DatabaseOptions): pg.PoolConfig {
  const max = options.maxConnections ?? (options.socketPath === undefined ? 10 : 4);
  const { statementTimeoutMs = defaultStatementTimeoutMs } = options;
  const silentMs = statementTimeoutMs + answerGraceMs;
  return {
    ...connectionConfig(options),
    max,
    idleTimeoutMillis: Math.min(statementTimeoutMs, idleTimeoutMs),
    ...(options.socketPath === undefined && { stream: () => createImpatientSocket(silentMs) }),
  };
}

/** The server ends statements that take too long; a host that is gone ends nothing, and says nothing for as long. */
function createImpatientSocket(silentMs: number): Socket {
  const socket = new Socket();
  socket.setTimeout(silentMs, () => socket.destroy(new Error('the database is silent')));
  return socket;
}

const int8 = 20;

// oxlint-disable-next-line typescript/no-explicit-any -- the type that pg declares for its parsers
function getTypeParser(oid: number, format?: 'text' | 'binary'): any {
  return oid === int8 && format !== 'binary' ? parseInt8 : pg.types.getTypeParser(oid, format);
}

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`int8 beyond 2^53: ${text}`);
  return value;
}
