import { sleep } from '@gatehouse/kit/clock';
import { runInBackground, withDeadline } from '@gatehouse/kit/lifecycle';
/** Knows the last committed change and wakes watchers; one per replica. */
import type { Logger } from '@gatehouse/kit/log';

import { readOutboxBounds } from '../store/outbox.js';
import { outboxChannel, type Store } from '../store/store.js';

export interface WatchHub extends AsyncDisposable {
  /** The last id known to be committed. */
  lastId(): number;
  /** It knows of no more changes: watches end. */
  isClosed(): boolean;
  /** Resolves once there is something after `id`, or after `ms`, or when the signal aborts or the hub closes. */
  wait(id: number, ms: number, signal: AbortSignal): Promise<void>;
  /** The database answered at the last look. */
  isHealthy(): boolean;
}

/** Looks by itself so often: notices may be lost. */
const pollMs = 500;
/** A database that takes longer counts as down. */
const answerMs = 5_000;

export async function createWatchHub(store: Store, logger: Logger): Promise<WatchHub> {
  const stop = new AbortController();
  const waiting = new Set<() => void>();
  let last = (await readOutboxBounds(store.database)).last;
  let healthy = true;
  let wake = Promise.withResolvers<void>();
  const listener = await store.coordination.listen(outboxChannel, () => wake.resolve());
  const loop = async () => {
    while (!stop.signal.aborted) {
      wake = Promise.withResolvers<void>();
      try {
        const late = () => new Error('no answer in time');
        const bounds = await withDeadline(readOutboxBounds(store.database), answerMs, late);
        healthy = true;
        if (bounds.last !== last) {
          last = bounds.last;
          for (const resolve of waiting) resolve();
        }
      } catch (thrown) {
        if (healthy) logger.warn({ err: thrown }, 'database does not answer');
        healthy = false;
      }
      await Promise.race([wake.promise, sleep(pollMs, stop.signal).catch(() => undefined)]);
    }
  };
  const looping = loop();
  runInBackground(async () => looping, logger, 'watch hub stopped');
  return {
    lastId: () => last,
    isHealthy: () => healthy,
    isClosed: () => stop.signal.aborted,
    async wait(id, ms, signal) {
      if (last > id || signal.aborted || stop.signal.aborted) return;
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          waiting.delete(done);
          signal.removeEventListener('abort', done);
          stop.signal.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        waiting.add(done);
        signal.addEventListener('abort', done, { once: true });
        stop.signal.addEventListener('abort', done, { once: true });
      });
    },
    async [Symbol.asyncDispose]() {
      listener[Symbol.dispose]();
      stop.abort();
      for (const resolve of waiting) resolve();
      await looping.catch(() => undefined);
    },
  };
}
