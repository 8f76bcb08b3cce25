/** An orderly stop (D29). */
import { setTimeout as delay } from 'node:timers/promises';

import type { StopSettings } from './lifecycle.js';

export interface DrainOptions {
  readonly settings: StopSettings;
  /** What `/readyz` looks at. */
  readonly state: { isDraining: boolean };
  /** Takes nothing new from here on, and says so to whoever should go elsewhere. */
  stopAccepting(): Promise<void> | void;
  /** How much is still under way. */
  openCount(): number;
}

const lookEveryMs = 100;

/**
 * Not ready → serves on for `shutdown_delay` → takes nothing new → waits until nothing is under way, at most
 * `drain_timeout`.
 * @returns how much is left
 */
export async function drain(options: DrainOptions): Promise<number> {
  const { settings, state } = options;
  state.isDraining = true;
  if (settings.shutdown_delay > 0) await delay(settings.shutdown_delay);
  const endMs = performance.now() + settings.drain_timeout;
  await options.stopAccepting();
  while (options.openCount() > 0 && performance.now() < endMs) await delay(lookEveryMs);
  return options.openCount();
}
