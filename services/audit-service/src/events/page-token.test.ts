import { expect, it } from 'vitest';

import { createPageTokens } from './page-token.js';

const scope = { user: 'carol', list: ['events', { text: 'x' }] };

it('gives a place back to the person and search that it was made for', () => {
  const tokens = createPageTokens('secret');
  expect(tokens.decode(scope, tokens.encode(scope, [1, 'b']))).toEqual([1, 'b']);
  expect(tokens.decode(scope, '')).toBeUndefined();
});

it('is understood by every replica with the same secret, and by no other', () => {
  const token = createPageTokens('secret').encode(scope, [1]);
  expect(createPageTokens('secret').decode(scope, token)).toEqual([1]);
  expect(() => createPageTokens('other').decode(scope, token)).toThrow(
    expect.objectContaining({ code: 'AUDIT_PAGE_TOKEN' }),
  );
});

it('refuses a token with any byte changed', () => {
  const tokens = createPageTokens('secret');
  const token = tokens.encode(scope, [1_700_000_000_000, 42]);
  for (let at = 0; at < token.length; at += 1) {
    const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
    const [before, after] = [token, changed].map((text) =>
      text
        .split('.')
        .map((part) => Buffer.from(part, 'base64url').toString('hex'))
        .join('.'),
    );
    if (before === after) continue;
    expect(() => tokens.decode(scope, changed), changed).toThrow(
      expect.objectContaining({ code: 'AUDIT_PAGE_TOKEN' }),
    );
  }
});
