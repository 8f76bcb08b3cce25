import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { formatStartupOptions, parseStartupOptions } from './startup-options.js';

const settings = (options: string) =>
  parseStartupOptions(options).map(({ name, value }) => (name ? `${name}=${value}` : '?'));

describe('startup options', () => {
  it.each([
    ['-c geqo=off', ['geqo=off']],
    ['-cgeqo=off', ['geqo=off']],
    ['--geqo=off', ['geqo=off']],
    ['--work-mem=1MB', ['work_mem=1MB']],
    [' \t-c\n a=b\v\f\r-c c=d ', ['a=b', 'c=d']],
    ['-c search_path=a\\ b\\\\c', ['search_path=a b\\c']],
    ['-c Gatehouse.Target=PG-1', ['gatehouse.target=PG-1']],
    ['-c a=b=c', ['a=b=c']],
    ['-c a=', ['a=']],
    ['', []],
    ['  ', []],
  ])('are read from "%s"', (options, expected) => {
    expect(settings(options)).toEqual(expected);
  });

  it.each([
    // A server bundles flags, and reads this as -e -c role=postgres.
    ['-ec role=postgres', ['?', '?']],
    ['-c', ['?']],
    ['-c =x', ['?']],
    ['-c role', ['?']],
    ['--role', ['?']],
    ['--', ['?']],
    ['postgres', ['?']],
    ['\\', ['?']],
  ])('have no name in "%s"', (options, expected) => {
    expect(settings(options)).toEqual(expected);
  });

  it('are put together again as they were written', () => {
    const options = parseStartupOptions('-c a=x\\ y  -c gatehouse.target=pg-1 -cb=\\\\ --c-d=e\\');
    const rest = options.filter(({ name }) => name !== 'gatehouse.target');
    expect(formatStartupOptions(rest)).toBe('-c a=x\\ y -cb=\\\\ --c-d=e\\');
  });

  it('mean the same once put together again', () => {
    const text = fc.string({
      unit: fc.constantFrom('-', 'c', ' ', '=', 'a', 'b', '\\', '\t', '\xa0'),
      maxLength: 60,
    });
    fc.assert(
      fc.property(text, (options) => {
        const parsed = parseStartupOptions(options);
        const again = parseStartupOptions(formatStartupOptions(parsed));
        expect(again).toEqual(parsed);
      }),
    );
  });
});
