import { describe, expect, it } from 'vitest';

import { createTotpSecret, findTotpStep, totpUri } from './totp.js';

/** RFC 6238 appendix B, SHA-1; the last six of eight digits. */
const secret = Buffer.from('12345678901234567890');
const vectors = [
  [59, '287082'],
  [1111111109, '081804'],
  [1111111111, '050471'],
  [1234567890, '005924'],
  [2000000000, '279037'],
] as const;

describe('codes', () => {
  it.each(vectors)('at %d s are those of RFC 6238', (seconds, code) => {
    expect(findTotpStep(secret, code, seconds * 1000)).toBe(Math.floor(seconds / 30));
  });

  it('count one step early and late, not two, and name the step they belong to', () => {
    const at = 1111111109_000;
    expect(findTotpStep(secret, '081804', at + 30_000)).toBe(37037036);
    expect(findTotpStep(secret, '081804', at - 30_000)).toBe(37037036);
    expect(findTotpStep(secret, '081804', at + 60_000)).toBeUndefined();
  });

  it.each(['', '08180', '0818041', 'abcdef', ' 81804', '０８１８０４'])('refuse %j', (code) => {
    expect(findTotpStep(secret, code, 1111111109_000)).toBeUndefined();
  });

  it('come from secrets of 160 bits, with issuer and name in the URI', () => {
    expect(createTotpSecret()).toHaveLength(20);
    const uri = totpUri(secret, { issuer: 'Gatehouse home', user: 'ada' });
    expect(uri).toMatch(/^otpauth:\/\/totp\/Gatehouse%20home:ada\?/);
    expect(uri).toContain('secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ');
  });
});
