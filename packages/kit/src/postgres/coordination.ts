/**
 * Locks and notices of change between the replicas of a service: advisory locks and LISTEN/NOTIFY on PostgreSQL, a
 * mutex and an emitter where the database is embedded (PGlite is one session, so its advisory locks exclude nobody and
 * its notices reach nobody).
 */
import { EventEmitter } from 'node:events';

import { sql, type Kysely, type Transaction } from 'kysely';
import pg from 'pg';

import { backoffMs, sleep } from '../clock/clock.js';
import { runInBackground, withDeadline } from '../lifecycle/lifecycle.js';
import type { Logger } from '../log/log.js';
import { connectionConfig } from './database.js';
import { postgresError } from './errors.js';

/** From a connection to the last answer to `listen`. */
const openTimeoutMs = 15_000;

/** What work under a lock gets. */
export interface LockedTransaction<Schema> {
  readonly transaction: Transaction<Schema>;
  /** Tells all listeners of `channel`, in every replica, when the transaction commits; never when it rolls back. */
  readonly notify: (channel: string, payload?: string) => Promise<void>;
}

export interface Coordination<Schema> extends AsyncDisposable {
  /**
   * Runs `work` in a transaction that holds the named lock: nobody else, in any replica, is inside the same lock until
   * this one has committed. Locks do not nest, and `work` must ask the database through `transaction` alone: the
   * embedded database serves nobody else until the transaction ends, so waiting for another query would wait for ever.
   */
  locked<T>(lock: string, work: (locked: LockedTransaction<Schema>) => Promise<T>): Promise<T>;
  /**
   * Runs `work` while nobody else, in any replica, is inside the same lock. It is in no transaction, so it may wait for
   * other things than the database. Rejects where the lock is not free within a statement's time.
   */
  alone(lock: string, work: () => Promise<void>): Promise<void>;
  /** Tells all listeners of `channel` now. `payload` is at most 8000 bytes. */
  notify(channel: string, payload?: string): Promise<void>;
  /**
   * Calls `listener` with each notice. Notices may be lost while the connection to the database is away, so listeners
   * also look by themselves from time to time; after a reconnect each is called once with an empty payload.
   */
  listen(channel: string, listener: (payload: string) => void): Promise<Disposable>;
}

export interface CoordinationOptions<Schema> {
  readonly database: Kysely<Schema>;
  /** `postgres://…`; without it the database is embedded, and all users of it must share this one object. */
  readonly url?: string;
  readonly logger: Logger;
}

/** Makes the coordination of a database. Disposing it ends listening; transactions under way finish. */
export function createCoordination<Schema>(
  options: CoordinationOptions<Schema>,
): Coordination<Schema> {
  const { database, url, logger } = options;
  return url === undefined ? createEmbedded(database) : createListening({ database, url, logger });
}

function createEmbedded<Schema>(database: Kysely<Schema>): Coordination<Schema> {
  const emitter = new EventEmitter();
  emitter.setMaxListeners(0);
  const tails = new Map<string, Promise<unknown>>();
  const inTurn = async <T>(lock: string, work: () => Promise<T>): Promise<T> => {
    const turn = (tails.get(lock) ?? Promise.resolve()).then(work);
    const settled = turn.catch(() => undefined);
    tails.set(lock, settled);
    try {
      return await turn;
    } finally {
      if (tails.get(lock) === settled) tails.delete(lock);
    }
  };
  return {
    locked: async (lock, work) => inTurn(lock, async () => runEmbedded(database, emitter, work)),
    alone: inTurn,
    notify: async (channel, payload = '') => void emitter.emit(`on:${channel}`, payload),
    listen: async (channel, listener) => subscribe(emitter, channel, listener),
    [Symbol.asyncDispose]: async () => void emitter.removeAllListeners(),
  };
}

async function runEmbedded<Schema, T>(
  database: Kysely<Schema>,
  emitter: EventEmitter,
  work: (locked: LockedTransaction<Schema>) => Promise<T>,
): Promise<T> {
  const notices: [channel: string, payload: string][] = [];
  const result = await database.transaction().execute(async (transaction) =>
    work({
      transaction,
      notify: async (channel, payload = '') => void notices.push([channel, payload]),
    }),
  );
  for (const [channel, payload] of notices) emitter.emit(`on:${channel}`, payload);
  return result;
}

function subscribe(
  emitter: EventEmitter,
  channel: string,
  listener: (payload: string) => void,
): Disposable {
  const own = (payload: string) => {
    listener(payload);
  };
  emitter.on(`on:${channel}`, own);
  return { [Symbol.dispose]: () => void emitter.off(`on:${channel}`, own) };
}

function createListening<Schema>(options: {
  database: Kysely<Schema>;
  url: string;
  logger: Logger;
}): Coordination<Schema> {
  const { database } = options;
  const connection = new ListenConnection(options.url, options.logger);
  const inLock = async <T>(lock: string, work: (transaction: Transaction<Schema>) => Promise<T>) =>
    database.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(hashtextextended(${lock}, 0))`.execute(transaction);
      return work(transaction);
    });
  return {
    locked: async (lock, work) =>
      inLock(lock, async (transaction) =>
        work({
          transaction,
          notify: async (channel, payload = '') =>
            void (await sql`select pg_notify(${channel}, ${payload})`.execute(transaction)),
        }),
      ),
    // The transaction has the lock and nothing else: it goes with the connection, whatever ends that.
    alone: async (lock, work) => inLock(lock, work),
    notify: async (channel, payload = '') =>
      void (await sql`select pg_notify(${channel}, ${payload})`.execute(database)),
    listen: async (channel, listener) => connection.listen(channel, listener),
    [Symbol.asyncDispose]: async () => connection.close(),
  };
}

/** The one connection that listens; made at the first `listen`, made again for as long as it breaks. */
class ListenConnection {
  readonly #url: string;
  readonly #logger: Logger;
  readonly #emitter = new EventEmitter();
  readonly #channels = new Set<string>();
  readonly #closing = new AbortController();
  #client: pg.Client | undefined;
  #connecting: Promise<pg.Client> | undefined;

  constructor(url: string, logger: Logger) {
    this.#url = url;
    this.#logger = logger;
    this.#emitter.setMaxListeners(0);
  }

  async listen(channel: string, listener: (payload: string) => void): Promise<Disposable> {
    const subscription = subscribe(this.#emitter, channel, listener);
    try {
      const client = await this.#connect();
      if (!this.#channels.has(channel)) {
        this.#channels.add(channel);
        await client.query(`listen ${pg.escapeIdentifier(channel)}`);
      }
    } catch (thrown) {
      subscription[Symbol.dispose]();
      this.#channels.delete(channel);
      throw thrown;
    }
    return subscription;
  }

  async close(): Promise<void> {
    this.#closing.abort(postgresError('COORDINATION_CLOSED'));
    this.#emitter.removeAllListeners();
    const client = this.#client ?? (await this.#connecting?.catch(() => undefined));
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  async #connect(): Promise<pg.Client> {
    this.#closing.signal.throwIfAborted();
    if (this.#client !== undefined) return this.#client;
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #open(): Promise<pg.Client> {
    const client = new pg.Client(
      connectionConfig({ url: this.#url, applicationName: 'gatehouse listen' }),
    );
    let lost = false;
    const onLoss = (thrown?: Error) => {
      if (lost) return;
      lost = true;
      if (this.#client === client) this.#client = undefined;
      if (this.#closing.signal.aborted) return;
      this.#logger.warn({ err: thrown }, 'listening connection lost');
      runInBackground(async () => this.#reconnect(), this.#logger, 'listening stopped');
    };
    client.on('notification', (notice) =>
      this.#emitter.emit(`on:${notice.channel}`, notice.payload ?? ''),
    );
    client.on('error', (thrown) => {
      if (this.#client === client) onLoss(thrown);
    });
    client.on('end', () => {
      if (this.#client === client) onLoss();
    });
    const listen = async () => {
      await client.connect();
      for (const channel of this.#channels)
        await client.query(`listen ${pg.escapeIdentifier(channel)}`);
    };
    try {
      await withDeadline(listen(), openTimeoutMs, () => new Error('no answer in time'));
    } catch (thrown) {
      client.end().catch(() => undefined);
      throw thrown;
    }
    this.#client = client;
    return client;
  }

  async #reconnect(): Promise<void> {
    for (let attempt = 0; !this.#closing.signal.aborted; attempt += 1) {
      try {
        await sleep(backoffMs(attempt, { baseMs: 100, capMs: 5000 }), this.#closing.signal);
        await this.#connect();
        for (const channel of this.#channels) this.#emitter.emit(`on:${channel}`, '');
        return;
      } catch (thrown) {
        if (this.#closing.signal.aborted) return;
        this.#logger.debug({ err: thrown }, 'listening connection not back yet');
      }
    }
  }
}
