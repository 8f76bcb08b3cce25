/** Writes one direction: pieces that lie side by side go out as one write. */
import type { Duplex } from 'node:stream';

import type { Piece } from '../wire/message-reader.js';

const nothing = Buffer.alloc(0);

export class Output {
  readonly #stream: Duplex;
  #source: Buffer = nothing;
  #start = 0;
  #end = 0;

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  forward({ source, start, end }: Piece): void {
    if (source === this.#source && start === this.#end) {
      this.#end = end;
      return;
    }
    this.flush();
    this.#source = source;
    this.#start = start;
    this.#end = end;
  }

  write(bytes: Buffer): void {
    this.flush();
    if (this.#stream.writable) this.#stream.write(bytes);
  }

  /** Call it when there is nothing more to forward just now. */
  flush(): void {
    const bytes = this.#source.subarray(this.#start, this.#end);
    this.#source = nothing;
    this.#start = 0;
    this.#end = 0;
    if (bytes.length > 0 && this.#stream.writable) this.#stream.write(bytes);
  }
}
