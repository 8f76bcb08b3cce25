import { expect, it } from 'vitest';

import { CancelKeys } from './cancel-keys.js';

/** Replicas that hear one another. */
function createReplicas(...ids: readonly string[]) {
  const listeners: ((content: Buffer) => void)[] = [];
  let told = 0;
  const replicas = {
    tell(_topic: string, content: Buffer) {
      told += 1;
      for (const listener of listeners) listener(content);
    },
    onTold: (_topic: string, listener: (content: Buffer) => void) => void listeners.push(listener),
  };
  return {
    keys: ids.map((replicaId) => new CancelKeys({ replicaId, replicas })),
    told: () => told,
  };
}

it('cancels by the right key alone, and by none that was given back', () => {
  const {
    keys: [keys],
  } = createReplicas('srv_a');
  if (keys === undefined) throw new Error('no keys');
  let cancelled = 0;
  const issued = keys.issue(() => (cancelled += 1));
  const { key } = issued;
  const wrong = Buffer.from(key.secret).fill(key.secret[0] === 0 ? 1 : 0, 0, 1);
  keys.use({ ...key, secret: wrong });
  keys.use({ ...key, secret: Buffer.concat([key.secret, Buffer.of(0)]) });
  keys.use({ ...key, processId: key.processId + 1 });
  expect(cancelled).toBe(0);
  keys.use(key);
  expect(cancelled).toBe(1);
  issued[Symbol.dispose]();
  keys.use(key);
  expect(cancelled).toBe(1);
});

it('cancels at the replica whose key it is, and tells the others no more than once', () => {
  const {
    keys: [here, there],
    told,
  } = createReplicas('srv_a', 'srv_b');
  if (here === undefined || there === undefined) throw new Error('no keys');
  let cancelled = 0;
  const { key } = here.issue(() => (cancelled += 1));
  there.use(key);
  expect([cancelled, told()]).toEqual([1, 1]);
  here.use(key);
  expect([cancelled, told()]).toEqual([2, 1]);
});

it('finds the replica also where two share the first part of their numbers', () => {
  const {
    keys: [here, there],
  } = createReplicas('srv_a', 'srv_a');
  if (here === undefined || there === undefined) throw new Error('no keys');
  let cancelled = '';
  here.issue(() => (cancelled += 'here '));
  const { key } = there.issue(() => (cancelled += 'there '));
  here.use(key);
  expect(cancelled).toBe('there ');
});

it('gives every session a number of its own, positive and never 0', () => {
  const {
    keys: [keys],
  } = createReplicas('srv_a');
  const numbers = Array.from({ length: 5_000 }, () => keys?.issue(() => undefined).key.processId);
  expect(new Set(numbers).size).toBe(5_000);
  expect(numbers.every((number) => number !== undefined && number > 0 && number < 2 ** 31)).toBe(
    true,
  );
});
