/** A wire between an agent and the port that tests may cut, delay, or let fall silent. */
import { once } from 'node:events';
import {
  createConnection,
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';

/** One connection through the wire. */
export interface Strand {
  /** Nothing passes until `resume`, and nothing is lost. */
  pause(): void;
  resume(): void;
  /** What is sent from now on vanishes, both ways; neither end hears of it. */
  silence(): void;
}

export class Wire implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  readonly #strands = new Set<Strand>();
  readonly #server: Server;
  /** Then new connections are closed at once. */
  isCut = false;

  constructor(port: number) {
    this.#server = createServer((left) => {
      if (this.isCut) left.destroy();
      else this.#join(left, createConnection(port, '127.0.0.1'));
    });
  }

  /** Those that stand, oldest first. */
  get strands(): readonly Strand[] {
    return [...this.#strands];
  }

  async listen(): Promise<string> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    return `localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.isCut = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(left: Socket, right: Socket): void {
    let isSilent = false;
    const strand: Strand = {
      pause: () => void [left.pause(), right.pause()],
      resume: () => void [left.resume(), right.resume()],
      silence: () => {
        isSilent = true;
        this.#strands.delete(strand);
      },
    };
    this.#strands.add(strand);
    for (const [from, to] of [[left, right] as const, [right, left] as const]) {
      this.#sockets.add(from);
      from.on('data', (bytes) => !isSilent && to.write(bytes));
      from.on('end', () => !isSilent && to.end());
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        this.#strands.delete(strand);
        if (!isSilent) to.destroy();
      });
    }
  }
}
