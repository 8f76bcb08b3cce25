/** Every decoder that is fuzzed: a package lists its own in its testing.ts, this file lists the packages. */
import { fuzzTargets as identity } from '@gatehouse/identity/testing';
import { fuzzTargets as kit } from '@gatehouse/kit/testing';
import { fuzzTargets as postgres } from '@gatehouse/protocol-postgres/testing';
import { fuzzTargets as ssh } from '@gatehouse/protocol-ssh/testing';
import { fuzzTargets as proxy } from '@gatehouse/proxy-service/testing';
import { fuzzTargets as recording } from '@gatehouse/recording/testing';
import { fuzzTargets as tunnel } from '@gatehouse/tunnel/testing';

import type { FuzzTarget } from './fuzz.js';

export const targets: readonly FuzzTarget[] = [
  ...identity,
  ...kit,
  ...tunnel,
  ...ssh,
  ...postgres,
  ...recording,
  ...proxy,
];
