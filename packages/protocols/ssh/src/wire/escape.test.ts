import { describe, expect, it } from 'vitest';

import { escapeBytes } from './escape.js';

describe('text of bytes', () => {
  it('keeps valid text and shows every other byte', () => {
    expect(escapeBytes(Buffer.from('grüße 🙂'))).toBe('grüße 🙂');
    expect(escapeBytes(Buffer.from([0x61, 0xff, 0x62, 0xc3]))).toBe('a\\xffb\\xc3');
    expect(escapeBytes(Buffer.from('a\u0000\u001b[31m\nb\u009b'))).toBe(
      'a\\x00\\x1b[31m\\x0ab\\x9b',
    );
  });

  it('keeps lines of a command', () => {
    expect(escapeBytes(Buffer.from('a\n\tb\r'), { lines: true })).toBe('a\n\tb\\x0d');
  });
});
