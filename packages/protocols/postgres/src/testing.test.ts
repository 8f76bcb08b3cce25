import { expect, it } from 'vitest';

import { fuzzTargets } from './testing.js';

// What else they take or refuse is the fuzzer's business (e2e/fuzz).
it.each(fuzzTargets.map((target) => [target.name, target] as const))(
  'the decoder of %s reads its seeds',
  (_name, target) => {
    for (const seed of target.seeds) expect(() => target.run(seed)).not.toThrow();
  },
);
