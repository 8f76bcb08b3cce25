import { GatehouseError } from '@gatehouse/kit/errors';
import { describe, expect, it } from 'vitest';

import { cliError, usageError } from '../errors.js';
import { createTestEnvironment } from '../testing.js';
import { writeJson } from './json.js';
import { reportError } from './report-error.js';
import { formatDuration, formatRelative, formatTable, paint, printable } from './text.js';

const columns = [
  { title: 'NAME', drop: 0, value: (row: readonly string[]) => row[0] ?? '' },
  { title: 'KIND', drop: 2, value: (row: readonly string[]) => row[1] ?? '' },
  { title: 'LABELS', drop: 1, value: (row: readonly string[]) => row[2] ?? '' },
];

describe('formatTable', () => {
  const rows = [
    ['web-1', 'node', 'env=staging'],
    ['a-much-longer-name', 'node', 'x'],
  ];

  it('aligns columns without borders or trailing space', () => {
    expect(formatTable(rows, columns, 80)).toBe(
      [
        'NAME                KIND  LABELS',
        'web-1               node  env=staging',
        'a-much-longer-name  node  x',
        '',
      ].join('\n'),
    );
  });

  it('drops columns rather than wrap, and cuts only what must stay', () => {
    expect(formatTable(rows, columns, 33)).toBe(
      [
        'NAME                LABELS',
        'web-1               env=staging',
        'a-much-longer-name  x',
        '',
      ].join('\n'),
    );
    expect(formatTable(rows, columns, 10)).toBe(['NAME', 'web-1', 'a-much-lo…', ''].join('\n'));
  });

  it('lets no control character of a name reach the terminal, and shows what is invisible', () => {
    expect(printable('a\u001b]0;x\u0007b\u001b[31mc\r\n\u202ed')).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(printable('vm\ufe0f\u{e0100}\u200b')).toBe(String.raw`vm\u{fe0f}\u{e0100}\u{200b}`);
    expect(printable('héllo 数据库 हिन्दी')).toBe('héllo 数据库 हिन्दी');
    expect(formatTable([['a\nb', '', '']], columns, 80).split('\n').length).toBe(3);
  });
});

describe('writeJson', () => {
  // JSON.stringify leaves C1 and bidi characters as they are, and a terminal obeys U+009B as it does ESC [.
  it('shows no control character raw, and stays the same JSON', () => {
    const environment = createTestEnvironment({ home: '/nowhere' });
    const value = { 'a\u009b': ['\u001b[2J\u0085\u007f\n', 'a\u202eb\u2028\u061c', 'héllo'] };
    writeJson(environment, value);
    expect(environment.out()).toMatch(/^[^\p{Cc}\p{Bidi_Control}\u2028\u2029]+\n$/u);
    expect(environment.out()).toContain('héllo');
    expect(JSON.parse(environment.out())).toEqual(value);
  });
});

describe('times', () => {
  it.each([
    [0, 'now'],
    [-180_000, '3m ago'],
    [7_300_000, 'in 2h'],
    [-90_000_000, '1d ago'],
  ])('%i ms is %s', (distance, text) => {
    expect(formatRelative(1e12 + distance, 1e12)).toBe(text);
  });

  it.each([
    [0, '0s'],
    [61_000, '1m 1s'],
    [90_061_000, '1d 1h'],
  ])('%i ms last %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe('paint', () => {
  it('colours a terminal only, and none with NO_COLOR', () => {
    const on = (isTTY: boolean, variables: Record<string, string> = {}) =>
      paint({ stdout: { write: () => true, isTTY }, variables }, 'dim', 'x');
    expect(on(true)).toContain('\u001b[2m');
    expect(on(false)).toBe('x');
    expect(on(true, { NO_COLOR: '1' })).toBe('x');
  });
});

describe('reportError', () => {
  const report = (thrown: unknown, format: 'text' | 'json') => {
    const environment = createTestEnvironment({ home: '/none' });
    const code = reportError(environment, thrown, format);
    return { code, out: environment.out(), err: environment.err() };
  };
  const denied = new GatehouseError('permission_denied', 'ROLE_MISSING', 'inner words', {
    publicMessage: 'denied: no role allows it',
    remedy: 'gate ls',
    id: 'err_1',
  });

  it('says what happened, what to do and the id, and exits 3 where policy refused', () => {
    expect(report(denied, 'text')).toEqual({
      code: 3,
      out: '',
      err: 'gate: denied: no role allows it\n  fix: gate ls\n  id: err_1\n',
    });
  });

  it('says the same as JSON on stdout only', () => {
    const { code, out, err } = report(denied, 'json');
    expect({ code, err }).toEqual({ code: 3, err: '' });
    expect(JSON.parse(out)).toEqual({
      error: {
        code: 'ROLE_MISSING',
        message: 'denied: no role allows it',
        remedy: 'gate ls',
        id: 'err_1',
      },
    });
  });

  it.each<[unknown, number]>([
    [usageError('unknown option'), 2],
    [cliError('NOT_LOGGED_IN', { details: { proxy: 'a:1' } }), 1],
    [new GatehouseError('unauthenticated', 'LOGIN_FAILED', 'x', { publicMessage: 'wrong' }), 1],
    [new GatehouseError('failed_precondition', 'LOCKED', 'x', { publicMessage: 'locked: x' }), 3],
    [new GatehouseError('not_found', 'TARGET_HIDDEN', 'x'), 1],
    [new Error('surprise'), 1],
  ])('%s ends with %i and without a stack trace', (thrown, code) => {
    const result = report(thrown, 'text');
    expect(result.code).toBe(code);
    expect(result.err).not.toMatch(/\n\s+at /);
  });

  it('shows no id that no service has in its log', () => {
    expect(report(cliError('NO_CLUSTER'), 'text').err).not.toContain('id:');
  });
});
