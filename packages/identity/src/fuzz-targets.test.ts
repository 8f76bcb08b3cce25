import { GatehouseError } from '@gatehouse/kit/errors';
import { describe, expect, it } from 'vitest';

import { fuzzTargets } from './fuzz-targets.js';

describe.each(fuzzTargets)('fuzz target $name', (target) => {
  it('reads its seeds, which are the same in every run', () => {
    expect(target.seeds.length).toBeGreaterThan(0);
    for (const seed of target.seeds) expect(() => target.run(seed)).not.toThrow();
  });

  it('refuses cuts of its seeds with our own error', () => {
    for (const seed of target.seeds) {
      for (let length = 0; length < seed.length; length += Math.ceil(seed.length / 50)) {
        try {
          target.run(seed.subarray(0, length));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(GatehouseError);
        }
      }
    }
  });
});
