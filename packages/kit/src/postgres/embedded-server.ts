/**
 * PGlite behind a Unix socket, so that `pg` reaches it like a server (PostgreSQL's frontend/backend protocol 3.0). PGlite is one session for everybody. So the messages of one statement, from Parse to Sync, run without
 * anybody else's between them, also after an error (when the engine skips everything up to Sync), and a transaction
 * keeps all others waiting until it ends. `@electric-sql/pglite-socket` hands messages over one by one and mixes
 * connections after an error: rows go missing or come from another connection's statement.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html
 */
import { createServer, type Socket } from 'node:net';

/** What is needed of a PGlite. */
export interface EmbeddedEngine {
  runExclusive<T>(work: () => Promise<T>): Promise<T>;
  execProtocolRawStream(
    message: Uint8Array,
    options: { onRawData: (data: Uint8Array) => void },
  ): Promise<unknown>;
  isInTransaction(): boolean;
  exec(sql: string): Promise<unknown>;
}

export interface EmbeddedServerOptions {
  readonly engine: EmbeddedEngine;
  /** Path of the socket, `<directory>/.s.PGSQL.<port>`; at most 107 bytes. */
  readonly path: string;
  /** Connections beyond are closed at once. Default 100. */
  readonly maxConnections?: number;
  /** How long a connection may keep a statement or transaction open without a word; then it is closed. Default 60 s. */
  readonly idleHoldMs?: number;
  /** Told what went wrong with a connection; the connection is gone. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

const maxMessageBytes = 64 << 20;
const startupCode = 196_608;
const sslCode = 80_877_103;
const gssCode = 80_877_104;
const cancelCode = 80_877_102;

/** A part of a connection's messages that must run together. */
interface Batch {
  readonly messages: readonly Buffer[];
  /** Ends in Sync or a simple query: after it the session is at rest, unless in a transaction. */
  readonly isWhole: boolean;
}

interface Connection {
  readonly socket: Socket;
  readonly waiting: Batch[];
  /** Bytes that are no whole message yet. */
  rest: Buffer;
  started: boolean;
  messages: Buffer[];
  closed: boolean;
}

/** Listens. Disposing it closes all connections; the engine stays open. */
export async function serveEmbedded(options: EmbeddedServerOptions): Promise<AsyncDisposable> {
  const connections = new Set<Connection>();
  const scheduler = new Scheduler(options, connections);
  const server = createServer((socket) => {
    if (connections.size >= (options.maxConnections ?? 100)) {
      socket.destroy();
      return;
    }
    accept(socket, connections, { scheduler, onError: options.onError });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.path, () => {
      server.off('error', reject);
      server.on('error', (error) => options.onError?.(error));
      resolve();
    });
  });
  return {
    async [Symbol.asyncDispose]() {
      for (const { socket } of connections) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await scheduler.idle();
    },
  };
}

function accept(
  socket: Socket,
  connections: Set<Connection>,
  { scheduler, onError }: { scheduler: Scheduler; onError: EmbeddedServerOptions['onError'] },
): void {
  const connection: Connection = {
    socket,
    waiting: [],
    rest: Buffer.alloc(0),
    started: false,
    messages: [],
    closed: false,
  };
  connections.add(connection);
  socket.on('error', () => socket.destroy());
  socket.once('close', () => {
    connection.closed = true;
    connection.waiting.length = 0;
    connections.delete(connection);
    scheduler.wake();
  });
  socket.on('data', (chunk: Buffer) => {
    connection.rest =
      connection.rest.length === 0 ? chunk : Buffer.concat([connection.rest, chunk]);
    try {
      readMessages(connection);
    } catch (thrown) {
      onError?.(thrown);
      socket.destroy();
    }
    scheduler.wake();
  });
}

/** Takes whole messages off the bytes and closes batches where a statement is complete. */
function readMessages(connection: Connection): void {
  while (connection.rest.length >= 5) {
    const lengthAt = connection.started ? 1 : 0;
    const length = lengthAt + connection.rest.readInt32BE(lengthAt);
    if (length < lengthAt + 4 || length > maxMessageBytes)
      throw new Error(`a message of ${length} bytes`);
    if (connection.rest.length < length) return;
    const message = Buffer.from(connection.rest.subarray(0, length));
    connection.rest = connection.rest.subarray(length);
    if (connection.started) takeMessage(connection, message);
    else takeStartup(connection, message);
  }
}

function takeStartup(connection: Connection, message: Buffer): void {
  const code = message.length >= 8 ? message.readInt32BE(4) : 0;
  if (code === sslCode || code === gssCode) connection.socket.write('N');
  else if (code === cancelCode) connection.socket.end();
  else if (code === startupCode) {
    connection.started = true;
    connection.waiting.push({ messages: [message], isWhole: true });
  } else throw new Error('not a start of PostgreSQL 3.0');
}

function takeMessage(connection: Connection, message: Buffer): void {
  const type = String.fromCharCode(message[0] ?? 0);
  if (type === 'X') {
    connection.socket.end();
    return;
  }
  connection.messages.push(message);
  const isWhole = type === 'Q' || type === 'S' || type === 'F';
  if (!isWhole && type !== 'H') return;
  connection.waiting.push({ messages: connection.messages, isWhole });
  connection.messages = [];
}

/** Runs batches one after another; whoever is inside a statement or a transaction goes on first. */
class Scheduler {
  readonly #engine: EmbeddedEngine;
  readonly #onError: EmbeddedServerOptions['onError'];
  readonly #connections: Set<Connection>;
  readonly #idleHoldMs: number;
  #owner: Connection | undefined;
  #running: Promise<void> | undefined;
  #holdTimer: NodeJS.Timeout | undefined;

  constructor(options: EmbeddedServerOptions, connections: Set<Connection>) {
    this.#engine = options.engine;
    this.#onError = options.onError;
    this.#connections = connections;
    this.#idleHoldMs = options.idleHoldMs ?? 60_000;
  }

  /** Something may have become possible. */
  wake(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#next() !== undefined || this.#owner?.closed === true) this.wake();
      else if (this.#owner !== undefined) this.#watchHold(this.#owner);
    });
  }

  /** Everybody waits for the owner, so it must not fall silent. */
  #watchHold({ socket }: Connection): void {
    this.#holdTimer ??= setTimeout(() => {
      this.#onError?.(new Error('a connection kept a transaction open and fell silent'));
      socket.destroy();
    }, this.#idleHoldMs).unref();
  }

  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #next(): Connection | undefined {
    if (this.#owner !== undefined) return this.#owner.waiting.length > 0 ? this.#owner : undefined;
    for (const connection of this.#connections)
      if (connection.waiting.length > 0) return connection;
    return undefined;
  }

  async #run(): Promise<void> {
    for (;;) {
      if (this.#owner?.closed === true) await this.#abandon();
      const connection = this.#next();
      const batch = connection?.waiting.shift();
      if (connection === undefined || batch === undefined) return;
      // Everybody in turn: whoever was served goes to the end.
      if (this.#connections.delete(connection)) this.#connections.add(connection);
      clearTimeout(this.#holdTimer);
      this.#holdTimer = undefined;
      await this.#serve(connection, batch);
      this.#owner = batch.isWhole && !this.#engine.isInTransaction() ? undefined : connection;
    }
  }

  async #serve(connection: Connection, batch: Batch): Promise<void> {
    try {
      await this.#execute(connection, batch);
    } catch (thrown) {
      this.#onError?.(thrown);
      connection.socket.destroy();
      connection.closed = true;
    }
  }

  async #execute({ socket }: Connection, batch: Batch): Promise<void> {
    await this.#engine.runExclusive(async () => {
      for (const message of batch.messages) {
        await this.#engine.execProtocolRawStream(new Uint8Array(message), {
          onRawData: (data) => {
            if (data.length > 0 && socket.writable) socket.write(Buffer.from(data));
          },
        });
      }
    });
  }

  /** The owner left inside a statement or transaction: both end. */
  async #abandon(): Promise<void> {
    this.#owner = undefined;
    const sync = Uint8Array.from([0x53, 0, 0, 0, 4]);
    try {
      await this.#engine.runExclusive(async () =>
        this.#engine.execProtocolRawStream(sync, { onRawData: () => undefined }),
      );
      if (this.#engine.isInTransaction()) await this.#engine.exec('rollback');
    } catch (thrown) {
      this.#onError?.(thrown);
    }
  }
}
