import { describe, expect, it } from 'vitest';

import { readReadiness, type ReadinessParts } from './readiness.js';

const policy = {
  isReady: () => true,
  isStale: () => false,
  clockSkewMs: () => 0,
  hasUnreadableLock: () => false,
};
const membership = { isExpired: () => false };
const spool = { full: false, degraded: false };
const good: ReadinessParts = { membership, policy, spool };

describe('readiness', () => {
  it('is there where nothing is wrong, with a spool or without', () => {
    const ready = { status: 'ready', reasons: [], degraded: [] };
    expect(readReadiness(good)).toEqual(ready);
    expect(readReadiness({ membership, policy })).toEqual(ready);
  });

  it.each<[string, Partial<ReadinessParts>]>([
    ['draining', { isDraining: true }],
    ['no_policy', { policy: { ...policy, isReady: () => false } }],
    ['spool_full', { spool: { full: true, degraded: false } }],
    ['clock', { policy: { ...policy, clockSkewMs: () => -120_001 } }],
    ['certificate_expired', { membership: { isExpired: () => true } }],
  ])('is gone for %s, where another replica would do better', (reason, parts) => {
    expect(readReadiness({ ...good, ...parts })).toEqual({
      status: 'not_ready',
      reasons: [reason],
      degraded: [],
    });
  });

  it.each<[string, Partial<ReadinessParts>]>([
    ['auth', { policy: { ...policy, isStale: () => true } }],
    ['kafka', { spool: { full: false, degraded: true } }],
    ['locks', { policy: { ...policy, hasUnreadableLock: () => true } }],
    ['database', { degraded: ['database'] }],
  ])('stays where %s is what all replicas lack', (word, parts) => {
    expect(readReadiness({ ...good, ...parts })).toEqual({
      status: 'ready',
      reasons: [],
      degraded: [word],
    });
  });
});
