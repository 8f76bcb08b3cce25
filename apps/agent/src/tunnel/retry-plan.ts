/**
 * When a slot tries again: full jitter, and short waits while an outage is young, so that a restart next door is hardly
 * felt. An outage begins when the service was last seen to serve, however briefly; without that, restarts in a row would
 * pass for one long outage.
 */
import { backoffMs, type Clock } from '@gatehouse/kit/clock';

const waits = { leastMs: 50, baseMs: 200, youngCapMs: 2_500, capMs: 15_000 };
/** An outage is young for so long. */
const youngMs = 60_000;
/** A tunnel that stood for so long was no mistake; after its end the waits begin anew. */
const settledMs = 5_000;

export interface RetryPlan {
  /** A tunnel has ended that stood for so long, or one is not needed because another serves (`Infinity`). */
  noteService(stoodMs: number): void;
  /**
   * How long to wait before the next try, ms.
   * @param isUrgent no other tunnel serves meanwhile
   */
  nextMs(isUrgent: boolean): number;
}

export function createRetryPlan(
  clock: Pick<Clock, 'monotonic'>,
  random: () => number = Math.random,
): RetryPlan {
  let attempt = 0;
  let outageSinceMs = clock.monotonic();
  return {
    noteService(stoodMs) {
      outageSinceMs = clock.monotonic();
      if (stoodMs > settledMs) attempt = 0;
    },
    nextMs(isUrgent) {
      const isYoung = clock.monotonic() - outageSinceMs < youngMs;
      const capMs = isYoung && isUrgent ? waits.youngCapMs : waits.capMs;
      const waitMs = waits.leastMs + backoffMs(attempt, { baseMs: waits.baseMs, capMs, random });
      attempt += 1;
      return waitMs;
    },
  };
}
