import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { listTexts, matchPattern, parsePattern } from './pattern.js';

const match = (pattern: string, value: string, traits = {}) =>
  matchPattern(parsePattern(pattern), value, traits);

describe('matchPattern', () => {
  it.each([
    ['web-1', 'web-1', true],
    ['web-1', 'web-10', false],
    ['web-1', 'WEB-1', false],
    ['', '', true],
    ['web.1', 'web.1', true],
    ['web.1', 'webx1', false],
    ['dev-*', 'dev-1', true],
    ['dev-*', 'dev-', true],
    ['dev-*', 'adev-1', false],
    ['*-prod-*', 'eu-prod-1', true],
    ['*-prod-*', 'eu-prod', false],
    ['a*a', 'a', false],
    ['a*b*c', 'abcbc', true],
    ['a.*', 'a.b', true],
    ['a.*', 'ab', false],
    ['*', '', true],
    ['^web-[0-9]+$', 'web-12', true],
    ['^web-[0-9]+$', 'web-12x', false],
    ['^web-[0-9]+$', 'xweb-12', false],
    ['^web-[0-9]+$', 'web-1\n', false],
    // Without a group around the alternatives, `^a|b$` would match everything that begins with a.
    ['^a|b$', 'ax', false],
    ['^a|b$', 'b', true],
    ['^$', '', true],
  ])('%j on %j is %s', (pattern, value, expected) => {
    expect(match(pattern, value)).toBe(expected);
  });

  it.each([
    '^',
    '^web',
    '^web-(',
    '^a\\$',
    '^(?=a)$',
    '{{internal.logins',
    'x}}',
    '{{logins}}',
    '{{ other.x }}',
    '{{internal.a}}{{internal.b}}',
    '^{{internal.a}}$',
    '{{internal.a}}-*',
    '{{internal.}}',
    'a'.repeat(300),
  ])('refuses %j', (pattern) => {
    expect(() => parsePattern(pattern)).toThrow();
  });

  it('takes the values of a trait as literals, whatever they hold, and expands once', () => {
    const traits = { team: ['*', '^.*$', '{{internal.logins}}'], logins: ['root'] };
    expect(match('{{external.team}}', 'blue', traits)).toBe(false);
    expect(match('{{external.team}}', 'root', traits)).toBe(false);
    expect(match('{{external.team}}', '*', traits)).toBe(true);
    expect(match('team-{{ external.team }}', 'team-{{internal.logins}}', traits)).toBe(true);
  });

  it('does not know what a missing or empty trait would say', () => {
    expect(match('{{external.team}}', 'blue', {})).toBe('unknown');
    expect(match('{{external.team}}', '', { team: [''] })).toBe('unknown');
    expect(match('{{external.constructor}}', 'blue', {})).toBe('unknown');
  });

  it('agrees with the regular expression that a glob stands for', () => {
    const part = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-'), maxLength: 3 });
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 4 }),
        fc.string({ unit: fc.constantFrom('a', 'b', '.', '-'), maxLength: 10 }),
        (parts, value) => {
          const source = parts.map((text) => text.replaceAll('.', '\\.')).join('.*');
          expect(match(parts.join('*'), value)).toBe(new RegExp(`^${source}$`).test(value));
        },
      ),
    );
  });
});

describe('listTexts', () => {
  it('lists exact texts and traits, not patterns', () => {
    const patterns = ['deploy', 'dev-*', '^a$', '{{internal.logins}}'].map(parsePattern);
    expect(listTexts(patterns, { logins: ['alice', 'a*'] })).toEqual(['deploy', 'alice', 'a*']);
  });
});
