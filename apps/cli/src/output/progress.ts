/** A counter on stderr for long work: only on a terminal, only after 300 ms. */
import type { Environment } from '../environment.js';

const quietMs = 300;
const intervalMs = 100;

/** A counter that is gone when it is disposed. */
export interface Progress extends Disposable {
  add(count: number): void;
}

/** Starts a counter of `unit`. */
export function createProgress(
  environment: Pick<Environment, 'stderr' | 'clock'>,
  unit: string,
): Progress {
  const { stderr, clock } = environment;
  const startedMs = clock.monotonic();
  let total = 0;
  let shownMs = startedMs + quietMs - intervalMs;
  let isShown = false;
  return {
    add(count) {
      total += count;
      const now = clock.monotonic();
      if (stderr.isTTY !== true || now - shownMs < intervalMs) return;
      shownMs = now;
      isShown = true;
      stderr.write(`\r${total} ${unit}`);
    },
    [Symbol.dispose]() {
      if (isShown) stderr.write('\r\u001b[K');
    },
  };
}
