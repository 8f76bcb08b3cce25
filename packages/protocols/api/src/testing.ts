/**
 * What a protocol folder brings for the matrix of e2e (allowed, denied, no certificate, expired, locked mid-session,
 * recorded, target down): a target of its kind, and a client that takes one step at a time.
 */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

/** A person as a client knows them: files and keys of a login, or of a forged one. */
export interface MatrixPerson {
  /** Port of the proxy on 127.0.0.1. */
  readonly port: number;
  /** X.509 key and certificate, PEM; none: a client without a certificate. */
  readonly tls?: { readonly key: string; readonly certificate: string };
  /** SSH key and certificate files. */
  readonly ssh?: { readonly keyFile: string; readonly certificateFile: string };
  readonly knownHostsFile: string;
  /** A folder for the client's files. */
  readonly dir: string;
}

/** An open session, from the client's side. */
export interface MatrixConnection extends AsyncDisposable {
  /** Sends a text to the target and gives what came back. */
  say(text: string): Promise<string>;
  /** Resolves when the session is over, with what the client was told (may be empty where a protocol has no words). */
  readonly ended: Promise<string>;
}

export interface MatrixTarget extends AsyncDisposable {
  /** For the agent's configuration. */
  readonly spec: Readonly<Record<string, unknown>>;
  /** Stops serving; the address stays closed. */
  stop(): Promise<void>;
}

export interface ProtocolFixture {
  /** Kind of its targets. */
  readonly kind: string;
  /** The role's label field for that kind, for example `node_labels`. */
  readonly labelsField: string;
  /** What else a role must allow. */
  readonly allow: Readonly<Record<string, unknown>>;
  /** True where the session of `connect` leaves a recording. */
  readonly isRecorded: boolean;
  /** True where a refusal reaches the client in words. */
  readonly hasWords: boolean;
  startTarget(context: {
    readonly dir: string;
    readonly targetAuthorities: readonly string[];
  }): Promise<MatrixTarget>;
  /** Opens a session. Rejects with an Error whose message is what the client was told. */
  connect(person: MatrixPerson, target: string): Promise<MatrixConnection>;
}

/** A `gatehouse-*` connection past its preface. @throws Error with the refusal's words */
export async function connectThroughPort(
  person: Pick<MatrixPerson, 'port' | 'tls'>,
  alpn: string,
  target: string,
): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port: person.port,
    servername: 'localhost',
    ALPNProtocols: [alpn],
    rejectUnauthorized: false,
    ...(person.tls === undefined ? {} : { key: person.tls.key, cert: person.tls.certificate }),
  });
  socket.on('error', () => socket.destroy());
  const body = Buffer.from(JSON.stringify({ v: 1, target, client: 'matrix' }));
  const head = Buffer.alloc(2);
  head.writeUInt16BE(body.length, 0);
  socket.write(Buffer.concat([head, body]));
  const answer = JSON.parse(String(await readFrame(socket))) as { error?: { message: string } };
  if (answer.error === undefined) return socket;
  socket.destroy();
  throw new Error(answer.error.message);
}

async function readFrame(socket: TLSSocket): Promise<Buffer> {
  const head = await readExactly(socket, 2);
  return readExactly(socket, head.readUInt16BE(0));
}

async function readExactly(socket: TLSSocket, size: number): Promise<Buffer> {
  for (;;) {
    const bytes: unknown = socket.read(size);
    if (Buffer.isBuffer(bytes) && bytes.length === size) return bytes;
    if (socket.destroyed || socket.readableEnded) throw new Error('closed without an answer');
    await Promise.race([once(socket, 'readable'), once(socket, 'close'), once(socket, 'end')]);
  }
}

/** A client of a protocol in which one line is answered by one line. */
export function talkInLines(socket: TLSSocket): MatrixConnection {
  let rest = '';
  const lines: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  socket.on('data', (chunk: Buffer) => {
    rest += String(chunk);
    const parts = rest.split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) {
      const next = waiting.shift();
      if (next === undefined) lines.push(line);
      else next(line);
    }
  });
  socket.once('close', () => {
    end(lines.join('\n'));
    for (const next of waiting) next('');
  });
  return {
    ended,
    async say(text) {
      const answered = new Promise<string>((resolve) => {
        const kept = lines.shift();
        if (kept === undefined) waiting.push(resolve);
        else resolve(kept);
      });
      socket.write(`${text}\n`);
      return answered;
    },
    async [Symbol.asyncDispose]() {
      socket.destroy();
    },
  };
}
