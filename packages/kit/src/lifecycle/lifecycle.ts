/** The life of a process and of background work: signals, exit codes, deadlines, who owns a directory, and nothing else. */
import { setFlagsFromString } from 'node:v8';

import { duration } from '../config/config.js';
import { toGatehouseError } from '../errors/errors.js';
import type { Logger } from '../log/log.js';

export { drain, type DrainOptions } from './drain.js';
export { takeLock } from './lock.js';

/** Starts work that goes on by itself; a failure is logged under `what`, never lost and never fatal. */
export function runInBackground(
  task: () => Promise<unknown>,
  logger: Logger,
  what = 'background task failed',
): void {
  task().catch((thrown: unknown) => {
    logger.error({ err: thrown }, what);
  });
}

/**
 * The result of `work`, or a rejection with `onTimeout()` after `ms`. `work` itself goes on; give it a signal where it
 * can be stopped.
 */
export async function withDeadline<T>(
  work: Promise<T>,
  ms: number,
  onTimeout: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(onTimeout());
    }, ms);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves with the first of SIGINT and SIGTERM. A second one ends the process at once with code 130. */
export async function waitForStopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let seen = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (seen) process.exit(130);
      seen = true;
      resolve(signal);
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}

/**
 * Keys of a service's orderly stop (D29): it says that it is not ready, goes on for `shutdown_delay` so that balancers
 * notice, takes nothing new, and gives what is open until `drain_timeout`.
 */
export const stopSettings = (drainTimeout: string) => ({
  shutdown_delay: duration('0s'),
  drain_timeout: duration(drainTimeout),
});

/** In ms, once parsed. */
export interface StopSettings {
  readonly shutdown_delay: number;
  readonly drain_timeout: number;
}

/** What a stop may take beyond what its settings give it. */
const stopGraceMs = 10_000;

export interface RunOptions {
  readonly logger: Logger;
  /** After `shutdown_delay`, `drain_timeout` and 10 s more the process ends with code 1. Default: none, so 10 s. */
  readonly stop?: StopSettings;
}

/**
 * For processes that carry bytes. Buffers lie outside the heap, and by default V8 collects the whole heap whenever 64 MiB
 * of them have gone by, with as much processor time as the relaying itself; with this flag their size is weighed against
 * the heap's, as the rest is. Not before the start is over: what a start throws away should go at once.
 */
export function tuneGarbageCollection(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
}

/** A stopped process stays no longer than that: the last spans may be meant for a collector that does not answer. */
const lingerMs = 3_000;

/**
 * Runs a service as this process: starts it, waits for a stop signal, disposes it. A signal before the start is over ends
 * the process at once. Exit codes: 0 stopped in order, 1 failed to start or to stop in time.
 */
export async function runService(
  start: () => Promise<AsyncDisposable>,
  options: RunOptions,
): Promise<number> {
  const { stop } = options;
  // From the beginning: a start may wait for other services, and the first process of a container is ended by no signal
  // that it does not listen to.
  const stopping = waitForStopSignal();
  let service: AsyncDisposable | undefined;
  try {
    service = await Promise.race([start(), stopping.then(() => undefined)]);
  } catch (thrown) {
    options.logger.error({ err: toGatehouseError(thrown) }, 'start failed');
    return 1;
  }
  if (service === undefined) {
    options.logger.info('stopped before the start was over');
    setImmediate(() => process.exit());
    return 0;
  }
  tuneGarbageCollection();
  await stopping;
  try {
    await withDeadline(
      Promise.resolve(service[Symbol.asyncDispose]()),
      (stop?.shutdown_delay ?? 0) + (stop?.drain_timeout ?? 0) + stopGraceMs,
      () => new Error('the stop took too long'),
    );
    return 0;
  } catch (thrown) {
    options.logger.error({ err: thrown }, 'stop failed');
    return 1;
  } finally {
    setTimeout(() => process.exit(), lingerMs).unref();
  }
}

/** Runs one piece of work as this process. Exit codes: 0 done, 1 failed, and why is in the log. */
export async function runOnce(work: () => Promise<unknown>, logger: Logger): Promise<number> {
  try {
    await work();
    return 0;
  } catch (thrown) {
    logger.error({ err: toGatehouseError(thrown) }, 'failed');
    return 1;
  }
}
