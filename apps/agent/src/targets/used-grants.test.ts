import { expect, it } from 'vitest';

import { createUsedGrants } from './used-grants.js';

it('takes an id once until nobody would take it any more', () => {
  const used = createUsedGrants();
  expect(used.use('a', 1000, 0)).toBe(false);
  expect(used.use('a', 1000, 999)).toBe(true);
  expect(used.use('b', 2000, 999)).toBe(false);
  expect(used.use('a', 2000, 1001)).toBe(false);
});

it('takes nothing that it could not remember, and goes on when room is there again', () => {
  const used = createUsedGrants(2);
  expect([used.use('a', 1000, 0), used.use('b', 1000, 0)]).toEqual([false, false]);
  expect(used.use('c', 1000, 0)).toBe(true);
  expect(used.use('c', 3000, 2000)).toBe(false);
});
