/**
 * Puts an engine that has one session (PGlite) behind a Unix socket for many clients. A client has the engine to itself
 * from the first message of a batch until the engine is idle again (ReadyForQuery `I`): a batch ends with Sync or is a
 * simple Query, and a transaction or a COPY keeps the turn. So neither unnamed statements nor transactions ever mix.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html
 */
import { createServer, type Server, type Socket } from 'node:net';

/** What is needed of the engine: messages of the frontend in, messages of the backend out. */
export interface SingleSessionEngine {
  execProtocolRaw(message: Uint8Array): Promise<Uint8Array>;
}

export interface SessionServerOptions {
  readonly engine: SingleSessionEngine;
  /** Unix socket; at most 107 bytes. */
  readonly path: string;
  /** Default 100; further clients are refused. */
  readonly maxConnections?: number;
  /** How long a client may keep the turn without a word, ms. Default 60 s. */
  readonly idleTurnMs?: number;
}

export interface SessionServer extends AsyncDisposable {
  readonly connections: number;
}

/** Longest message of a client. */
const maxMessageBytes = 64 << 20;
const sslRequest = 80_877_103;
const gssRequest = 80_877_104;
const cancelRequest = 80_877_102;
const protocolVersion3 = 196_608;

const type = (letter: string) => letter.charCodeAt(0);
const readyForQuery = type('Z');
/** Messages after which a batch may run: Sync, Query, FunctionCall, Flush, CopyDone, CopyFail, Terminate. */
const batchEnds = new Set(['S', 'Q', 'F', 'H', 'c', 'f', 'X'].map(type));
const rollback = simpleQuery('ROLLBACK');
const sync = Buffer.from([type('S'), 0, 0, 0, 4]);
const copyFail = Buffer.from([type('f'), 0, 0, 0, 5, 0]);

export async function serveSingleSession(options: SessionServerOptions): Promise<SessionServer> {
  const turns = new Turns();
  const clients = new Set<Client>();
  const server = createServer((socket) => {
    if (clients.size >= (options.maxConnections ?? 100)) {
      socket.destroy();
      return;
    }
    const client = new Client(socket, options, turns);
    clients.add(client);
    socket.once('close', () => clients.delete(client));
  });
  await listen(server, options.path);
  return {
    get connections() {
      return clients.size;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const client of clients) client.close();
      await closed;
      await turns.take();
    },
  };
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      server.on('error', () => server.close());
      resolve();
    });
  });
}

/** First come, first served. */
class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Waits for one's turn; the function given ends it. */
  async take(): Promise<() => void> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    await before;
    return resolve;
  }
}

class Client {
  readonly #socket: Socket;
  readonly #options: SessionServerOptions;
  readonly #turns: Turns;
  #bytes: Buffer = Buffer.alloc(0);
  #messages: Buffer[] = [];
  #isStarted = false;
  #isRunning = false;
  #endTurn: (() => void) | undefined;
  /** The engine's last word: idle, in a transaction, in a failed one, or in the middle of something. */
  #status: 'I' | 'T' | 'E' | 'busy' = 'I';
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, options: SessionServerOptions, turns: Turns) {
    this.#socket = socket;
    this.#options = options;
    this.#turns = turns;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.once('close', () => this.#run());
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    try {
      for (let message = this.#next(); message !== undefined; message = this.#next())
        this.#messages.push(message);
    } catch {
      this.close();
      return;
    }
    this.#run();
  }

  /** The next whole message, or undefined. Throws for what is none. */
  #next(): Buffer | undefined {
    const header = this.#isStarted ? 1 : 0;
    if (this.#bytes.length < header + 4) return undefined;
    const length = header + this.#bytes.readUInt32BE(header);
    if (length < header + 4 || length > maxMessageBytes) throw new RangeError('bad length');
    if (this.#bytes.length < length) return undefined;
    const message = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    if (this.#isStarted) return message;
    return this.#start(message) ? message : this.#next();
  }

  /** True for the startup message itself; encryption is declined, a cancel request has nothing to cancel. */
  #start(message: Buffer): boolean {
    const code = message.length < 8 ? 0 : message.readUInt32BE(4);
    if (code === sslRequest || code === gssRequest) {
      this.#socket.write('N');
      return false;
    }
    if (code === cancelRequest || code !== protocolVersion3) throw new RangeError('not a session');
    this.#isStarted = true;
    return true;
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#work().then(
      () => (this.#isRunning = false),
      () => {
        this.#isRunning = false;
        this.close();
      },
    );
  }

  async #work(): Promise<void> {
    while (!this.#socket.destroyed && this.#hasBatch()) {
      clearTimeout(this.#idleTimer);
      this.#endTurn ??= await this.#turns.take();
      while (this.#messages.length > 0 && !this.#socket.destroyed && this.#endTurn !== undefined) {
        await this.#execute(this.#messages.shift());
      }
    }
    if (this.#socket.destroyed) await this.#cleanUp();
    else if (this.#endTurn !== undefined) this.#watchIdle();
  }

  /** Whoever has the turn goes on at once; others only with a batch that will come to its end. */
  #hasBatch(): boolean {
    if (this.#messages.length === 0) return false;
    if (this.#endTurn !== undefined) return true;
    return this.#messages.some((message) => batchEnds.has(message[0] ?? 0) || message[0] === 0);
  }

  async #execute(message: Buffer | undefined): Promise<void> {
    if (message === undefined) return;
    if (message[0] === type('X')) {
      this.#socket.end();
      return;
    }
    const answer = await this.#options.engine.execProtocolRaw(message);
    this.#status = lastStatus(answer) ?? 'busy';
    if (answer.length > 0 && !this.#socket.write(answer)) await this.#drained();
    const isEnd = message[0] === 0 || batchEnds.has(message[0] ?? 0);
    if (isEnd && this.#status === 'I') this.#release();
  }

  async #drained(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#socket.once('drain', resolve);
      this.#socket.once('close', () => resolve());
    });
  }

  #release(): void {
    this.#endTurn?.();
    this.#endTurn = undefined;
  }

  #watchIdle(): void {
    this.#idleTimer = setTimeout(() => this.close(), this.#options.idleTurnMs ?? 60_000);
    this.#idleTimer.unref();
  }

  /** A client that left in the middle leaves nothing open behind. */
  async #cleanUp(): Promise<void> {
    clearTimeout(this.#idleTimer);
    if (this.#endTurn === undefined) return;
    try {
      const { engine } = this.#options;
      if (this.#status === 'busy') {
        await engine.execProtocolRaw(copyFail);
        this.#status = lastStatus(await engine.execProtocolRaw(sync)) ?? 'busy';
      }
      if (this.#status !== 'I') await engine.execProtocolRaw(rollback);
    } finally {
      this.#release();
    }
  }
}

/** The transaction status of the last ReadyForQuery, where it is the engine's last word. */
function lastStatus(answer: Uint8Array): 'I' | 'T' | 'E' | undefined {
  if (answer.length < 6 || answer[answer.length - 6] !== readyForQuery) return undefined;
  const status = String.fromCharCode(answer[answer.length - 1] ?? 0);
  return status === 'I' || status === 'T' || status === 'E' ? status : undefined;
}

function simpleQuery(sql: string): Buffer {
  const head = Buffer.from([type('Q'), 0, 0, 0, sql.length + 5]);
  return Buffer.concat([head, Buffer.from(`${sql}\0`)]);
}
