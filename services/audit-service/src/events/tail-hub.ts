/** Tells all tails of a replica when any replica has stored events. */
import { EventEmitter } from 'node:events';

import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { Coordination } from '@gatehouse/kit/postgres';

import { newestPosition } from '../store/events.js';
import type { Db, Tables } from '../store/tables.js';
import { storeChannel } from './store-events.js';

/** Notices can be lost, so the hub looks by itself as well. */
const pollMs = 2000;

export interface TailHub extends AsyncDisposable {
  /** The newest position that this replica knows of. */
  newest(): number;
  /** Waits until there is more than `position`, at most `ms`, or until the signal aborts. */
  changed(position: number, ms: number, signal: AbortSignal): Promise<void>;
}

export async function createTailHub(options: {
  database: Db;
  coordination: Coordination<Tables>;
  logger: Logger;
}): Promise<TailHub> {
  const { database, coordination, logger } = options;
  const emitter = new EventEmitter();
  emitter.setMaxListeners(0);
  let newest = 0;
  const advance = (position: number) => {
    if (!(position > newest)) return;
    newest = position;
    emitter.emit('changed');
  };
  const look = async () => advance(await newestPosition(database));
  const subscription = await coordination.listen(storeChannel, (payload) => {
    if (payload === '') runInBackground(look, logger, 'looking for new events failed');
    else advance(Number(payload));
  });
  await look();
  const timer = setInterval(() => {
    if (emitter.listenerCount('changed') > 0)
      runInBackground(look, logger, 'looking for new events failed');
  }, pollMs).unref();
  return {
    newest: () => newest,
    changed: async (position, ms, signal) => {
      if (newest > position || signal.aborted) return;
      await waitForChange(emitter, ms, signal);
    },
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      subscription[Symbol.dispose]();
      emitter.emit('changed');
    },
  };
}

async function waitForChange(
  emitter: EventEmitter,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      emitter.off('changed', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    emitter.once('changed', done);
    signal.addEventListener('abort', done, { once: true });
  });
}
