import { GatehouseError } from '@gatehouse/kit/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fuzzTargets } from './testing.js';

describe.each(fuzzTargets.map((target) => [target.name, target] as const))(
  'the decoder of %s',
  (_name, target) => {
    it('reads its seeds', () => {
      for (const seed of target.seeds) expect(() => target.run(seed)).not.toThrow();
    });

    it('throws nothing but its own error on changed and random bytes', () => {
      const changed = fc
        .tuple(
          fc.constantFrom(...target.seeds),
          fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
          fc.nat(80),
        )
        .map(([seed, changes, cut]) => {
          const bytes = Buffer.from(seed);
          for (const [position, value] of changes) bytes[position % bytes.length] = value;
          return cut > 60 ? bytes.subarray(0, cut % (bytes.length + 1)) : bytes;
        });
      const random = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
      fc.assert(
        fc.property(fc.oneof(changed, random), (input) => {
          try {
            target.run(input);
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(GatehouseError);
          }
        }),
        { numRuns: 2000 },
      );
    });
  },
);
