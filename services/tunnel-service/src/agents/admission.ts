/** Spreads handshakes over time: after a restart all agents come at once, and each handshake costs a millisecond or two. */
import type { Clock } from '@gatehouse/kit/clock';

export interface Admission {
  /** How long the next arrival has to wait, ms; undefined: too long, turn it away. Takes its place in the line. */
  admit(): number | undefined;
}

/** Longest wait in line; agents try again by themselves. */
const maxWaitMs = 5_000;

export function createAdmission(options: {
  readonly perSecond: number;
  readonly clock: Pick<Clock, 'monotonic'>;
}): Admission {
  const stepMs = 1000 / options.perSecond;
  // A second's worth may come at once.
  const burstMs = 1000;
  let nextMs = Number.NEGATIVE_INFINITY;
  return {
    admit() {
      const nowMs = options.clock.monotonic();
      const atMs = Math.max(nextMs, nowMs - burstMs);
      const waitMs = Math.max(0, atMs - nowMs);
      if (waitMs > maxWaitMs) return undefined;
      nextMs = atMs + stepMs;
      return waitMs;
    },
  };
}
