import { systemClock } from '@gatehouse/kit/clock';
import { createLogger } from '@gatehouse/kit/log';
import { expect, it } from 'vitest';

import type { Link } from './link.js';
import { createSlot, type Slot } from './slot.js';

const logger = createLogger({ name: 'test', level: 'silent' });

// A stop waited for a slow replica's welcome, 30 s, and was killed before.
it('stops while it waits for a welcome', async () => {
  const stop = new AbortController();
  const reached = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<never>();
  const link: Link = {
    replicaId: 'srv_1',
    viaProxy: '',
    streamCount: 0,
    answer: answer.promise,
    closed: new Promise(() => undefined),
    close: () => answer.reject(new Error('closed')),
  };
  const slot = createSlot({
    clock: systemClock,
    logger,
    signal: stop.signal,
    async open() {
      reached.resolve();
      return Promise.resolve(link);
    },
    isTwin: () => false,
    isServed: () => false,
    onChange: () => undefined,
  });
  const running = slot.run();
  await reached.promise;
  await expect.poll(() => slot.replicaId).toBe('srv_1');
  stop.abort();
  await running;
});

/** A slot whose tunnels come through these proxies, one after the other, the last one again and again. */
function startSlot(proxies: readonly string[], twinWaitMs?: { first: number; cap: number }) {
  const stop = new AbortController();
  const opened: string[] = [];
  const closed: string[] = [];
  const slot: Slot = createSlot({
    clock: systemClock,
    logger,
    signal: stop.signal,
    isTwin: ({ viaProxy }) => viaProxy === 'srv_same',
    twinWaitMs,
    isServed: () => slot.link !== undefined,
    async open(mayBeTwin) {
      const viaProxy = proxies[opened.length] ?? proxies.at(-1) ?? '';
      opened.push(viaProxy);
      const end = Promise.withResolvers<{ reason: 'closed' }>();
      return Promise.resolve({
        replicaId: 'srv_1',
        viaProxy,
        streamCount: 0,
        answer: Promise.resolve(viaProxy === 'srv_same' && !mayBeTwin ? 'same_proxy' : 'welcome'),
        closed: end.promise,
        close: () => {
          closed.push(viaProxy);
          end.resolve({ reason: 'closed' });
        },
      });
    },
    onChange: () => undefined,
  });
  const running = slot.run();
  return { slot, opened, closed, end: async () => (stop.abort(), running) };
}

it('dials again until its tunnel comes through another proxy than its twin', async () => {
  const started = startSlot(['srv_same', 'srv_same', 'srv_other']);
  await expect.poll(() => started.slot.link?.viaProxy).toBe('srv_other');
  expect(started.closed).toEqual(['srv_same', 'srv_same']);
  await started.end();
});

it('takes what it gets after five tries more: there may be one proxy only', async () => {
  const started = startSlot(['srv_same']);
  await expect.poll(() => started.slot.link?.viaProxy).toBe('srv_same');
  expect(started.closed).toHaveLength(5);
  expect(started.opened).toHaveLength(6);
  await started.end();
});

// A proxy that came back after a rolling restart got no tunnel for as long as the other one ran.
it('looks again later whether there is another proxy by now, one dial at a time', async () => {
  const same = Array.from({ length: 9 }, () => 'srv_same');
  const started = startSlot([...same, 'srv_other'], { first: 20, cap: 40 });
  await expect.poll(() => started.slot.link?.viaProxy).toBe('srv_other');
  expect(started.opened).toHaveLength(10);
  await started.end();
});

it('looks for another replica when it is told that there may be one, not before', async () => {
  const stop = new AbortController();
  let opened = 0;
  const slot = createSlot({
    clock: systemClock,
    logger,
    signal: stop.signal,
    isTwin: () => false,
    isServed: () => true,
    async open() {
      opened += 1;
      return Promise.resolve(undefined);
    },
    onChange: () => undefined,
  });
  const running = slot.run();
  await expect.poll(() => opened).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(opened).toBe(1);
  // Said again and again, it neither delays the look nor makes it many.
  slot.lookWithin(50);
  for (let said = 0; said < 100; said += 1) slot.lookWithin(10_000);
  await expect.poll(() => opened).toBe(2);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(opened).toBe(2);
  stop.abort();
  await running;
});

// Two rolling restarts at close quarters found the agent offline between its old tunnel and its new one.
it('closes a tunnel that it is asked to replace only when the next one stands', async () => {
  const closed: string[] = [];
  const next = Promise.withResolvers<'welcome'>();
  const stop = new AbortController();
  let opened = 0;
  const slot: Slot = createSlot({
    clock: systemClock,
    logger,
    signal: stop.signal,
    isTwin: () => false,
    isServed: () => slot.link !== undefined,
    async open() {
      opened += 1;
      const name = `srv_${opened}`;
      const end = Promise.withResolvers<{ reason: 'closed' }>();
      return Promise.resolve({
        replicaId: name,
        viaProxy: '',
        streamCount: 0,
        answer: opened === 1 ? Promise.resolve('welcome') : next.promise,
        closed: end.promise,
        close: () => {
          closed.push(name);
          end.resolve({ reason: 'closed' });
        },
      });
    },
    onChange: () => undefined,
  });
  const running = slot.run();
  await expect.poll(() => slot.link?.replicaId).toBe('srv_1');
  slot.replace();
  await expect.poll(() => opened).toBe(2);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect(closed).toEqual([]);
  next.resolve('welcome');
  await expect.poll(() => closed).toEqual(['srv_1']);
  stop.abort();
  await running;
});
