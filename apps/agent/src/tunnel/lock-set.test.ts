import { expect, it } from 'vitest';

import { createLockCollector } from './lock-set.js';

it('gives a set once it is whole, and begins anew with the next', () => {
  const take = createLockCollector();
  expect(take({ documentsJson: ['a', 'b'], more: true })).toBeUndefined();
  expect(take({ documentsJson: ['c'] })).toEqual(['a', 'b', 'c']);
  expect(take({ documentsJson: [] })).toEqual([]);
});

it('does not collect without end', () => {
  const take = createLockCollector();
  const documentsJson = Array.from({ length: 60_000 }, () => '');
  take({ documentsJson, more: true });
  expect(() => take({ documentsJson, more: true })).toThrow('more than 100000 locks');
});
