import { randomBytes } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createKeyring } from '../sealing/keyring.js';
import { decodePageToken, encodePageToken } from './page-token.js';

const keyring = createKeyring([randomBytes(32)]);
const scope = { user: 'alice', list: 'targets' };

describe('page tokens', () => {
  it('come back as they went out, and are nothing at the start', () => {
    const token = encodePageToken(keyring, scope, ['node', 'web-ü']);
    expect(decodePageToken(keyring, scope, token)).toEqual(['node', 'web-ü']);
    expect(decodePageToken(keyring, scope, '')).toBeUndefined();
  });

  it('are of use to one person and one list only', () => {
    const token = encodePageToken(keyring, scope, ['a']);
    for (const other of [
      { ...scope, user: 'bob' },
      { ...scope, list: 'x' },
    ]) {
      expect(() => decodePageToken(keyring, other, token)).toThrow('page_token');
    }
  });

  it('can not be made up', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 3_000 }), (text) => {
        expect(() => decodePageToken(keyring, scope, text)).toThrow('page_token');
      }),
      { numRuns: 500 },
    );
  });
});
