import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { PatternError } from './regex-syntax.js';
import { compileRegex, isRegexMatch } from './regex.js';

const isMatch = (source: string, text: string) => isRegexMatch(compileRegex(source), text);

/** Expressions of the subset, as text, over a small alphabet so that matches are common. */
const { expression } = fc.letrec<{ expression: string; atom: string }>((tie) => ({
  expression: fc
    .array(
      fc.tuple(
        tie('atom'),
        fc.constantFrom('', '', '*', '+', '?', '{2}', '{0,2}', '{1,}', '*?', '+?'),
      ),
      { maxLength: 4 },
    )
    .chain((items) => {
      const sequence = items.map(([atom, quantifier]) => atom + quantifier).join('');
      return fc.constantFrom(sequence, sequence, `${sequence}|ab`, `${sequence}|`);
    }),
  atom: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    fc.constantFrom('a', 'b', 'c', '.', '\\d', '\\w', '[ab]', '[^a]', '[a-c-]', '\\.', '\\*', '1'),
    fc.constantFrom('[\\d]', '[^\\w]', '[\\]\\\\]', '\\D', '\\S', 'ä', '😀', '[😀-😎]'),
    tie('expression').map((inner) => `(?:${inner})`),
    tie('expression').map((inner) => `(${inner})`),
  ),
}));

describe('compileRegex', () => {
  it('agrees with the engine of JavaScript on every expression of the subset', () => {
    const text = fc.array(fc.constantFrom('a', 'b', 'c', '1', '.', '-', '*', 'ä', '😀', ' '), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(expression, text, (source, characters) => {
        const value = characters.join('');
        expect(isMatch(source, value)).toBe(new RegExp(`^(?:${source})$`, 'u').test(value));
      }),
      { numRuns: 3000 },
    );
  });

  it('takes linear time where a backtracking engine takes exponential time', () => {
    const regex = compileRegex('(a|a)*(a*)*(a|aa)+b');
    const started = performance.now();
    expect(isRegexMatch(regex, 'a'.repeat(5000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it.each([
    '(',
    ')',
    'a)',
    '[',
    '[]',
    '[z-a]',
    '[\\w-z]',
    '*',
    '+a',
    'a**',
    'a{2}{2}',
    'a{3,2}',
    'a{',
    'a{}',
    'a{999}',
    '(?=a)',
    '(?<n>a)',
    '(?i)a',
    '\\1',
    '\\b',
    '\\',
    '\\p{L}',
    'a^',
    '$a',
    '}',
    ']',
    '\\u0041',
    '('.repeat(40) + ')'.repeat(40),
    '((a{99}){99}){99}',
    '((((){255}){255}){255}){255}',
  ])('refuses %j with the place of the problem', (source) => {
    expect(() => compileRegex(source)).toThrow(PatternError);
  });

  it('never throws anything but a PatternError', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), fc.string(), (source, text) => {
        try {
          isMatch(source, text);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(PatternError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
