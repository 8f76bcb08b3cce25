import { expect, it } from 'vitest';

import { createAdmission } from './admission.js';

it('lets a second’s worth in at once and spreads the rest at the rate', () => {
  let nowMs = 0;
  const admission = createAdmission({ perSecond: 10, clock: { monotonic: () => nowMs } });
  const waits = Array.from({ length: 30 }, () => admission.admit());
  expect(waits.filter((wait) => wait === 0)).toHaveLength(11);
  expect(waits.at(-1)).toBe(1900);
  nowMs += 10_000;
  expect(admission.admit()).toBe(0);
});

it('turns away who would wait longer than 5 s, without a place in line', () => {
  let nowMs = 0;
  const admission = createAdmission({ perSecond: 10, clock: { monotonic: () => nowMs } });
  const waits = Array.from({ length: 500 }, () => admission.admit());
  expect(waits.filter((wait) => wait !== undefined)).toHaveLength(61);
  nowMs += 1000;
  expect(admission.admit()).toBeDefined();
});
