import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { refusal, run, temporaryFolder } from '../test/tools.js';
import { computeEnrollmentMac, isMacEqual } from './enrollment.js';

const secret = Buffer.alloc(32, 0x41);

describe('computeEnrollmentMac', () => {
  it('is the HMAC that openssl computes', () => {
    const message = "printf '\\000\\000\\000\\005label\\000\\000\\000\\001x\\000\\000\\000\\000'";
    const hex = run(
      temporaryFolder(),
      'sh',
      '-c',
      `${message} | openssl dgst -sha256 -hmac ${secret.toString()} -r`,
    );
    const mac = computeEnrollmentMac(secret, 'label', [Buffer.from('x'), Buffer.alloc(0)]);
    expect(mac.toString('hex')).toBe(hex.slice(0, 64));
  });

  // Without lengths "ab","c" and "a","bc" would prove each other.
  it('differs for any two lists of parts, labels and secrets', () => {
    const lists = fc.array(fc.uint8Array({ maxLength: 3 }), { maxLength: 3 });
    fc.assert(
      fc.property(lists, lists, (a, b) => {
        const isSame = JSON.stringify(a) === JSON.stringify(b);
        expect(
          isMacEqual(computeEnrollmentMac(secret, 'x', a), computeEnrollmentMac(secret, 'x', b)),
        ).toBe(isSame);
      }),
      { numRuns: 2000 },
    );
    const mac = computeEnrollmentMac(secret, 'request', []);
    expect(isMacEqual(mac, computeEnrollmentMac(secret, 'reply', []))).toBe(false);
    expect(isMacEqual(mac, computeEnrollmentMac(Buffer.alloc(32, 0x42), 'request', []))).toBe(
      false,
    );
    expect(isMacEqual(mac, mac.subarray(1))).toBe(false);
  });

  it('refuses a secret that could be guessed', () => {
    expect(refusal(() => computeEnrollmentMac(Buffer.alloc(15), 'x', []))).toMatchObject({
      code: 'KEY_INVALID',
    });
  });
});
