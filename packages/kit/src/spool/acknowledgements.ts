/** Waits until the event log has everything before a position of a lane. */
import type { Lane } from './lane.js';

interface Waiter {
  readonly position: number;
  resolve(): void;
}

export class Acknowledgements {
  readonly #lane: Lane;
  readonly #waiters = new Set<Waiter>();

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  get areAwaited(): boolean {
    return this.#waiters.size > 0;
  }

  /** @throws the signal's reason */
  async reached(position: number, signal?: AbortSignal): Promise<void> {
    if (this.#lane.acknowledged >= position) return;
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { position, resolve };
    const onAbort = () => {
      reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
    };
    this.#waiters.add(waiter);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiters.delete(waiter);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** The lane's acknowledged position may have risen. */
  settle(): void {
    for (const waiter of this.#waiters) {
      if (waiter.position <= this.#lane.acknowledged) waiter.resolve();
    }
  }
}
