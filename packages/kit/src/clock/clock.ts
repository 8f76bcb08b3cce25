/** Time as a parameter, so that tests move it and code never asks the machine behind one's back. */
import { setTimeout as sleepTimer } from 'node:timers/promises';

export interface Clock {
  /** Wall clock, ms since the epoch. For certificates and events. */
  now(): number;
  /** Never goes back, ms. For leases, idle time and deadlines (D34). */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** Waits; rejects with the signal's reason when it aborts first. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await sleepTimer(ms, undefined, signal ? { signal } : {});
}

/**
 * Full-jitter back-off: a wait chosen evenly from 0 to `min(capMs, baseMs · 2^attempt)`.
 * @param attempt 0 for the first wait
 */
export function backoffMs(
  attempt: number,
  options: { baseMs: number; capMs: number; random?: () => number },
): number {
  const ceiling = Math.min(options.capMs, options.baseMs * 2 ** Math.min(attempt, 30));
  return (options.random ?? Math.random)() * ceiling;
}

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `90s`, `15m`, `8h`, `30d`, also in sequence as `1h30m`, in ms; undefined for anything else. */
export function parseDurationMs(text: string): number | undefined {
  if (!/^(\d+(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) {
    total += Number(count) * (durationUnits[unit ?? ''] ?? 0);
  }
  return Number.isSafeInteger(total) ? total : undefined;
}
