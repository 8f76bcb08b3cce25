/** The decoders of this package as a fuzzer sees them. */
import { parseIdentity } from './identity.js';
import { parsePartName } from './part-name.js';
import { pemToDer } from './pem.js';
import { parseSshPublicKey } from './ssh-keys.js';

/** A decoder for the fuzzer. `run` may throw GatehouseError and nothing else. */
export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly Buffer[];
  run(input: Buffer): void;
}

export const fuzzTargets: readonly FuzzTarget[] = [];
