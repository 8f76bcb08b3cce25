import { systemClock } from '@gatehouse/kit/clock';
import { createLogger } from '@gatehouse/kit/log';
import { expect, it } from 'vitest';

import type { Link } from './link.js';
import { createSlot } from './slot.js';

const logger = createLogger({ name: 'test', level: 'silent' });

// A stop waited for a slow replica's welcome, 30 s, and was killed before.
it('stops while it waits for a welcome', async () => {
  const stop = new AbortController();
  const reached = Promise.withResolvers<void>();
  const welcomed = Promise.withResolvers<never>();
  const link: Link = {
    replicaId: 'srv_1',
    streamCount: 0,
    welcomed: welcomed.promise,
    closed: new Promise(() => undefined),
    close: () => welcomed.reject(new Error('closed')),
  };
  const slot = createSlot({
    clock: systemClock,
    logger,
    signal: stop.signal,
    async open() {
      reached.resolve();
      return Promise.resolve(link);
    },
    onChange: () => undefined,
  });
  const running = slot.run();
  await reached.promise;
  await expect.poll(() => slot.replicaId).toBe('srv_1');
  stop.abort();
  await running;
});
