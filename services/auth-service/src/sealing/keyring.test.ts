import { randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { createKeyring } from './keyring.js';

const place = { table: 'authority', column: 'private_key', row: 'user_ssh/1' };

describe('sealed values', () => {
  it('open in their place only', () => {
    const keyring = createKeyring([randomBytes(32)]);
    const sealed = keyring.seal(place, Buffer.from('secret'));
    expect(keyring.open(place, sealed).toString()).toBe('secret');
    for (const other of [
      { ...place, row: 'user_ssh/2' },
      { ...place, column: 'x' },
      { ...place, table: 'x' },
    ]) {
      expect(() => keyring.open(other, sealed)).toThrow('does not open');
    }
  });

  it('do not open once a single bit is changed', () => {
    const keyring = createKeyring([randomBytes(32)]);
    const sealed = keyring.seal(place, Buffer.from('secret'));
    for (let index = 0; index < sealed.length; index += 1) {
      const changed = Buffer.from(sealed);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect(() => keyring.open(place, changed)).toThrow();
    }
    expect(() => keyring.open(place, sealed.subarray(0, 20))).toThrow();
  });

  it('open after a new key was put first, and not without the old one', () => {
    const [old, fresh] = [randomBytes(32), randomBytes(32)];
    const sealed = createKeyring([old]).seal(place, Buffer.from('secret'));
    expect(createKeyring([fresh, old]).open(place, sealed).toString()).toBe('secret');
    expect(() => createKeyring([fresh]).open(place, sealed)).toThrow('sealed under unknown key');
  });

  it('are never the same twice', () => {
    const keyring = createKeyring([randomBytes(32)]);
    expect(
      keyring.seal(place, Buffer.from('a')).equals(keyring.seal(place, Buffer.from('a'))),
    ).toBe(false);
  });
});
