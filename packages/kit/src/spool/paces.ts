/**
 * How fast each person may go on while the spool fills, so that a flood of one does not take the room of everybody's events.
 *
 * Below a quarter of the limit nobody waits. Above it each has a burst of 1/32 of it (8 MiB), and then a rate that falls as the spool
 * fills: 576 KiB a second at a quarter, 256 at half, 64 at three quarters, never less than 4.
 */
import type { Clock } from '../clock/clock.js';

const freeShare = 0.25;
const burstShare = 1 / 32;
const emptyRate = 1024 * 1024;
const slowestRate = 4 * 1024;
/** Beyond so many people all are forgiven. */
const maxPeople = 10_000;

/** What somebody has written, less what the rate has allowed since. */
interface Debt {
  bytes: number;
  atMs: number;
}

export class Paces {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #burstBytes: number;
  readonly #debts = new Map<string, Debt>();

  constructor(clock: Pick<Clock, 'monotonic'>, limitBytes: number) {
    this.#clock = clock;
    this.#burstBytes = limitBytes * burstShare;
  }

  /** Somebody has written. @param fill share of the limit that is taken, 0 to 1 */
  note(person: string, bytes: number, fill: number): void {
    if (fill < freeShare) {
      if (this.#debts.size > 0) this.#debts.clear();
      return;
    }
    if (this.#debts.size >= maxPeople) this.#debts.clear();
    const debt = this.#debtOf(person, fill) ?? { bytes: 0, atMs: this.#clock.monotonic() };
    debt.bytes += bytes;
    this.#debts.set(person, debt);
  }

  /** How long they should wait before they cause more, ms; 0: not at all. */
  waitMs(person: string, fill: number): number {
    if (fill < freeShare) return 0;
    const { bytes = 0 } = this.#debtOf(person, fill) ?? {};
    return Math.max(0, ((bytes - this.#burstBytes) * 1000) / rateAt(fill));
  }

  #debtOf(person: string, fill: number): Debt | undefined {
    const debt = this.#debts.get(person);
    if (debt === undefined) return undefined;
    const nowMs = this.#clock.monotonic();
    debt.bytes -= ((nowMs - debt.atMs) * rateAt(fill)) / 1000;
    debt.atMs = nowMs;
    if (debt.bytes > 0) return debt;
    this.#debts.delete(person);
    return undefined;
  }
}

/** Bytes a second. */
function rateAt(fill: number): number {
  return Math.max(slowestRate, emptyRate * (1 - fill) ** 2);
}
