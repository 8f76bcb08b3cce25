import { expect, it } from 'vitest';

import { createId, idTime } from './ids.js';

it('sorts ids in the order in which they were made, also while the clock goes back a little', () => {
  const now = Date.parse('2030-01-01T00:00:00Z');
  const ids = [0, 5, 3, -40_000, 6].map((step) => createId('evt', now + step));
  expect(ids.toSorted()).toEqual(ids);
});

// A clock that was a month ahead for a moment left every later id in that month.
it('tells the time again once a clock that was wrong is set', () => {
  const right = Date.parse('2031-01-01T00:00:00Z');
  createId('rec', right + 30 * 86_400_000);
  expect(idTime(createId('rec', right))).toBe(right);
});
