import { setTimeout as sleep } from 'node:timers/promises';

import { expect, it } from 'vitest';

import { createKeyedMutex } from './keyed-mutex.js';

it('lets one at a time pass per key, others beside it, and refuses beyond the bound', async () => {
  const mutex = createKeyedMutex(3, () => new Error('busy'));
  let inside = 0;
  let most = 0;
  const work = async () => {
    inside += 1;
    most = Math.max(most, inside);
    await sleep(5);
    inside -= 1;
  };
  const results = await Promise.allSettled(
    Array.from({ length: 6 }, async () => mutex.run('a', work)),
  );
  expect(most).toBe(1);
  expect(results.filter((result) => result.status === 'rejected')).toHaveLength(2);
  await Promise.all([mutex.run('a', work), mutex.run('b', work)]);
  expect(most).toBe(2);
});

it('goes on after one has failed', async () => {
  const mutex = createKeyedMutex(3, () => new Error('busy'));
  const failing = mutex.run('a', async () => Promise.reject(new Error('no')));
  const next = mutex.run('a', async () => Promise.resolve('yes'));
  await expect(failing).rejects.toThrow('no');
  await expect(next).resolves.toBe('yes');
});
