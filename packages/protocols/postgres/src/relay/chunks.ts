/** Kept of a side that must wait, so that its end is heard. */
const maxWaitingBytes = 64 * 1024;

/** What has come of one side, and waits. */
export class Chunks {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  get length(): number {
    return this.#chunks.length;
  }

  /** No more should come. */
  get isFull(): boolean {
    return this.#bytes >= maxWaitingBytes;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  shift(): Buffer | undefined {
    const chunk = this.#chunks.shift();
    this.#bytes -= chunk?.length ?? 0;
    return chunk;
  }
}
