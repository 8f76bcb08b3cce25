import { foldName } from '@gatehouse/policy';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { findNameProblem, matchesGlobs } from './names.js';

describe('names', () => {
  it.each(['web-1', 'a.b', 'ünïcode', 'x'.repeat(63), '数据库', 'A_1'])('takes %s', (name) => {
    expect(findNameProblem(name)).toBeUndefined();
  });

  it.each([
    '',
    ' ',
    'a b',
    'a/b',
    'a\\b',
    'a\nb',
    '..',
    'a..b',
    '.a',
    '-a',
    'a.',
    'x'.repeat(64),
    'a@b',
    'a:b',
    '$(x)',
    "a'b",
    'a;b',
    'u\u0308x',
  ])('refuses %j', (name) => {
    expect(findNameProblem(name)).toBeDefined();
  });

  it('refuses the twin of a name by something invisible, wherever it stands', () => {
    const codes = [
      0xad, 0x345, 0x34f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180b, 0x180f, 0x200b, 0x200d, 0x202e,
      0x2060, 0x206f, 0x3164, 0xfe00, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0xfffb, 0x1d173, 0x1d17a,
      0xe0001, 0xe0100, 0xe01ef, 0xe0fff,
    ];
    for (const code of codes) {
      const invisible = String.fromCodePoint(code);
      for (const name of [
        `vm${invisible}`,
        `v${invisible}m`,
        `${invisible}vm`,
        `vm1${invisible}`,
      ]) {
        expect(findNameProblem(name), code.toString(16)).toBeDefined();
        expect(findNameProblem(name, 'user'), code.toString(16)).toBeDefined();
      }
    }
  });

  it('takes marks on letters and digits, and no others', () => {
    for (const name of ['हिन्दी', 'ไทยที่', 'q\u0323\u0307', '1\u0323'])
      expect(findNameProblem(name)).toBeUndefined();
    for (const name of ['a-\u0323', 'a.\u0345b', 'a_\u0323\u0307'])
      expect(findNameProblem(name)).toBeDefined();
  });

  it('takes people with an at sign, and nothing that a shell reads', () => {
    expect(findNameProblem('alice@example.com', 'user')).toBeUndefined();
    for (const bad of ['a`b', 'a$b', 'a|b', 'a b', 'a"b'])
      expect(findNameProblem(bad, 'user')).toBeDefined();
  });

  it('folds names that differ in case or width to one', () => {
    expect(foldName('WEB-1')).toBe(foldName('web-1'));
    expect(foldName('ＷＥＢ')).toBe(foldName('web'));
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        (text) => foldName(foldName(text)) === foldName(text),
      ),
      { numRuns: 500 },
    );
  });

  it('matches globs as wholes, by stars and question marks only', () => {
    expect(matchesGlobs(['web-*'], 'WEB-12')).toBe(true);
    expect(matchesGlobs(['web-?'], 'web-12')).toBe(false);
    expect(matchesGlobs(['web'], 'web-1')).toBe(false);
    expect(matchesGlobs(['a.b'], 'axb')).toBe(false);
    expect(matchesGlobs([], 'anything')).toBe(true);
  });

  it('answers at once for globs made to be slow', () => {
    const at = performance.now();
    matchesGlobs(['*a'.repeat(30)], `${'a'.repeat(62)}b`);
    matchesGlobs(['*'.repeat(63)], 'a'.repeat(63));
    expect(performance.now() - at).toBeLessThan(20_000);
  });
});
