/**
 * Spreads handshakes over time: after a restart all agents come at once, and each handshake costs a millisecond or two.
 * Addresses in line take turns, so that none keeps the others waiting; one that is alone in line has the whole rate. Where the
 * machine is slower than the rate, agents wait in line, where it costs nothing, and not in handshakes that they give up.
 */
import type { Clock } from '@gatehouse/kit/clock';

export interface Admission {
  /**
   * Resolves when it is one's turn, with what to call when the handshake is over; whoever gives up before leaves the line.
   * @param signal aborts when the connection has closed
   * @throws when it was aborted, or the turn did not come in 15 s
   */
  enter(address: string, signal: AbortSignal): Promise<() => void>;
}

/** Longest wait in line; agents try again by themselves. */
const maxWaitMs = 15_000;

/** Whoever takes longer for a handshake keeps no other from the next turn. */
const maxTurnMs = 3_000;

/** A second's worth may come at once. */
const burstMs = 1000;

export interface AdmissionOptions {
  readonly perSecond: number;
  readonly clock: Pick<Clock, 'monotonic'>;
}

export function createAdmission(options: AdmissionOptions): Admission {
  return new Line(options);
}

/** Tells whoever waits that it may begin, and how to say that it is done. */
type Turn = (finish: () => void) => void;

class Line implements Admission {
  readonly #clock: AdmissionOptions['clock'];
  readonly #stepMs: number;
  /** Half a second's worth of handshakes may be under way. */
  readonly #maxUnderWay: number;
  #underWay = 0;
  /** Who waits, oldest first, by address; the address whose turn is next comes first. */
  readonly #waiting = new Map<string, Set<Turn>>();
  #nextMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor({ perSecond, clock }: AdmissionOptions) {
    this.#clock = clock;
    this.#stepMs = 1000 / perSecond;
    this.#maxUnderWay = Math.ceil(perSecond / 2);
  }

  async enter(address: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<() => void>();
    const onAbort = () => reject(new Error('it left while it waited'));
    const leave = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      this.#remove(address, resolve);
    };
    const timer = setTimeout(() => reject(new Error('too many agents at once')), maxWaitMs);
    signal.addEventListener('abort', onAbort, { once: true });
    const others = this.#waiting.get(address) ?? new Set();
    this.#waiting.set(address, others.add(resolve));
    this.#serve();
    return promise.finally(leave);
  }

  /** @returns what ends the turn */
  #begin(): () => void {
    this.#underWay += 1;
    let isOver = false;
    const finish = () => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      this.#underWay -= 1;
      this.#serve();
    };
    const timer = setTimeout(finish, maxTurnMs);
    return finish;
  }

  /** Gives turns as far as the rate allows, and comes back for the others. */
  #serve(): void {
    clearTimeout(this.#timer);
    const nowMs = this.#clock.monotonic();
    for (const [address, [turn]] of this.#waiting) {
      if (this.#underWay >= this.#maxUnderWay) return;
      const atMs = Math.max(this.#nextMs, nowMs - burstMs);
      if (atMs > nowMs) {
        this.#timer = setTimeout(() => this.#serve(), atMs - nowMs);
        return;
      }
      this.#nextMs = atMs + this.#stepMs;
      if (turn !== undefined) this.#giveTurn(address, turn);
    }
  }

  /** The address goes to the end of the line with what else waits there; the loop above meets it again. */
  #giveTurn(address: string, turn: Turn): void {
    const others = this.#waiting.get(address);
    this.#remove(address, turn);
    if (others !== undefined && others.size > 0) {
      this.#waiting.delete(address);
      this.#waiting.set(address, others);
    }
    turn(this.#begin());
  }

  #remove(address: string, turn: Turn): void {
    const waiting = this.#waiting.get(address);
    if (waiting?.delete(turn) === true && waiting.size === 0) this.#waiting.delete(address);
  }
}
