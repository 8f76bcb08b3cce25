/** Counts what had to be dropped until it can be said in one `audit.events_lost`. */
import type { LooseEvent } from './types.js';

export class Losses {
  #count = 0;
  #fromMs = 0;
  #toMs = 0;
  #isExact = true;
  /** Since the start. */
  total = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** @param isExact false where more may have been lost than is known */
  add(nowMs: number, options: { count?: number; fromMs?: number; isExact?: boolean } = {}): void {
    const count = options.count ?? 1;
    if (this.#count === 0) this.#fromMs = options.fromMs ?? nowMs;
    this.#fromMs = Math.min(this.#fromMs, options.fromMs ?? nowMs);
    this.#count += count;
    this.#toMs = nowMs;
    this.#isExact &&= options.isExact ?? true;
    this.total += count;
  }

  /** The event that says it. `count` is a lower bound where `exact` is false. */
  describe(replicaId: string): LooseEvent {
    return {
      type: 'audit.events_lost',
      outcome: 'failure',
      actor: { kind: 'service', name: replicaId },
      data: {
        count: this.#count,
        from: new Date(this.#fromMs).toISOString(),
        to: new Date(this.#toMs).toISOString(),
        exact: this.#isExact,
      },
    };
  }

  /** It has been said. */
  clear(): void {
    this.#count = 0;
    this.#isExact = true;
  }
}
