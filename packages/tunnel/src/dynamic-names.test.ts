import { expect, it } from 'vitest';

import { allowsDynamicName } from './dynamic-names.js';

it('matches globs whole, without regard to case, and takes no other character for special', () => {
  expect(allowsDynamicName(['web-*', 'db-*'], 'DB-1')).toBe(true);
  expect(allowsDynamicName(['db-?'], 'db-12')).toBe(false);
  expect(allowsDynamicName(['db.1'], 'dbx1')).toBe(false);
  expect(allowsDynamicName(['db-*'], 'my-db-1')).toBe(false);
});

it('allows nothing without a glob, and is not slowed down by many stars', () => {
  expect(allowsDynamicName([], 'db-1')).toBe(false);
  expect(allowsDynamicName([`${'*'.repeat(200)}x`], 'a'.repeat(5_000))).toBe(false);
});
