import { describe, expect, it } from 'vitest';

import { checkPassword, createPasswordHasher } from './passwords.js';

describe('passwords', () => {
  it.each([
    'short',
    'aaaaaaaaaaaa',
    'abababababab',
    '1234567890',
    'abcdefghijk',
    '9876543210',
    'password123',
    'Password!!!1',
    'alice12345',
    'x'.repeat(1025),
  ])('refuses %s', (password) => {
    expect(() => checkPassword(password, 'alice')).toThrow('the password is not accepted');
  });

  it.each(['correct horse battery staple', 'gK3!pq0zT9', 'пароль для входа', '83650274913355'])(
    'takes %s',
    (password) => {
      expect(() => checkPassword(password, 'alice')).not.toThrow();
    },
  );

  it('knows a password by its hash, in whatever form its letters were typed, and no other', async () => {
    const hasher = await createPasswordHasher('decoy');
    const stored = await hasher.hash('caf\u00e9 au lait');
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await hasher.verify(stored, 'cafe\u0301 au lait')).toBe(true);
    expect(await hasher.verify(stored, 'cafe au lait')).toBe(false);
    expect(await hasher.verify(undefined, 'decoy')).toBe(false);
  });
});
