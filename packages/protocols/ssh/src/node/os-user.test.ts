import { tmpdir } from 'node:os';

import { describe, expect, it } from 'vitest';

import { commandWords } from './os-user.js';

const user = { name: 'me', uid: 1, gid: 1, home: tmpdir(), shell: '/bin/sh', become: [] };

describe('the words of a command', () => {
  it('keep a NUL, so that no other command is run than was asked for', () => {
    const words = commandWords(user, Buffer.from([0x69, 0x64, 0x00, 0xff]));
    expect(words.join(' ')).toContain('\0');
  });
});
