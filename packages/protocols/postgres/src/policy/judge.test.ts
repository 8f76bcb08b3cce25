import { describe, expect, it } from 'vitest';

import { factsWith } from './facts.fixture.js';
import { hasStatementPolicy, judge, judgeText, type Judging } from './judge.js';
import { isAllowedTable, isDeniedTable } from './table-pattern.js';

const reads = (...names: string[]) =>
  names.map((name) => {
    const [table = '', schema] = name.split('.').toReversed();
    return { schema, name: table, isWritten: false };
  });
const rule = (role: string, statements?: string[], tables?: string[]) => ({
  role,
  statements,
  tables,
});
const judging = (
  allow: Judging['rules']['allow'],
  deny: Judging['rules']['deny'] = [],
): Judging => ({ rules: { allow, deny }, prepared: () => undefined });

describe('a policy', () => {
  it('is there where no role is open, or a block denies', () => {
    const has = (given: Judging) => hasStatementPolicy(given.rules);
    expect(has(judging([rule('a')]))).toBe(false);
    expect(has(judging([rule('a', ['select']), rule('b')]))).toBe(false);
    expect(has(judging([rule('a', ['select'])]))).toBe(true);
    expect(has(judging([rule('a', undefined, ['*.*'])]))).toBe(true);
    expect(has(judging([rule('a')], [rule('b', ['delete'])]))).toBe(true);
    expect(has(judging([]))).toBe(true);
  });

  it('that is not there lets everything pass', () => {
    const open = judging([rule('a')]);
    expect(judge(factsWith({ changesActor: true, isUnknown: true }), open)).toBeUndefined();
    expect(judgeText({ kind: 'unparsed', reason: 'syntax' }, open)).toBeUndefined();
  });

  it('refuses what can not be read, with the reason', () => {
    expect(
      judgeText({ kind: 'unparsed', reason: 'too_long' }, judging([rule('a', ['*'])])),
    ).toEqual({
      code: 'unparsed',
      message: 'the statement is too long to be judged',
      rule: undefined,
    });
  });

  it('without a role allows nothing', () => {
    expect(judge(factsWith({}), judging([]))).toMatchObject({ code: 'class' });
  });
});

describe('roles', () => {
  it('are named in a refusal', () => {
    const dba = judging([rule('dba', ['select', 'show', 'explain'])]);
    expect(judge(factsWith({ classes: ['select', 'delete'] }), dba)).toEqual({
      code: 'class',
      message: 'statement class "delete" is not allowed (role dba)',
      rule: { role: 'dba', list: 'db_statements' },
    });
    const clerk = judging([rule('clerk', undefined, ['public.orders'])]);
    expect(judge(factsWith({ tables: reads('hr.salaries') }), clerk)).toEqual({
      code: 'table',
      message: 'table "hr.salaries" is not allowed (role clerk)',
      rule: { role: 'clerk', list: 'db_tables' },
    });
  });

  // Reading by one role and writing by another would carry rows from a table that only the first may read.
  it('are not added up within a statement', () => {
    const both = judging([
      rule('reader', ['select'], ['hr.*']),
      rule('writer', ['insert'], ['public.*']),
    ]);
    expect(judge(factsWith({ tables: reads('hr.a') }), both)).toBeUndefined();
    expect(
      judge(factsWith({ classes: ['insert'], tables: reads('public.a') }), both),
    ).toBeUndefined();
    expect(
      judge(factsWith({ classes: ['select', 'insert'], tables: reads('hr.a', 'public.a') }), both),
    ).toMatchObject({ code: 'class', rule: { role: 'reader' } });
  });

  it('allow all classes with *, and what drivers need with any list', () => {
    expect(judge(factsWith({ classes: ['call'] }), judging([rule('a', ['*'])]))).toBeUndefined();
    const none = judging([rule('a', [])]);
    expect(judge(factsWith({ classes: ['show', 'transaction', 'set'] }), none)).toBeUndefined();
    expect(judge(factsWith({ classes: ['select'] }), none)).toMatchObject({ code: 'class' });
  });
});

describe('deny blocks', () => {
  const open = [rule('a')];

  it('win over every role, also over what drivers need', () => {
    const refusal = judge(factsWith({ classes: ['set'] }), judging(open, [rule('b', ['set'])]));
    expect(refusal).toEqual({
      code: 'deny',
      message: 'statement class "set" is denied (role b)',
      rule: { role: 'b', list: 'db_statements' },
    });
  });

  it('with both lists cover what both cover', () => {
    const given = judging(open, [rule('b', ['delete'], ['audit.*'])]);
    expect(
      judge(factsWith({ classes: ['delete'], tables: reads('public.a') }), given),
    ).toBeUndefined();
    expect(judge(factsWith({ tables: reads('audit.a') }), given)).toBeUndefined();
    expect(
      judge(factsWith({ classes: ['delete'], tables: reads('audit.a') }), given),
    ).toMatchObject({
      message: 'statement class "delete" on table "audit.a" is denied (role b)',
    });
  });

  it('on tables cover what does not name its tables', () => {
    const given = judging(open, [rule('b', undefined, ['hr.*'])]);
    expect(judge(factsWith({ classes: ['call'], hidesTables: true }), given)).toMatchObject({
      code: 'deny',
    });
  });
});

describe('unqualified names', () => {
  const clerk = judging([rule('clerk', undefined, ['app.orders', 'public.orders'])]);

  it('are allowed where they are in every schema of the search path', () => {
    const at = (searchPath: string[]) =>
      judge(factsWith({ tables: reads('orders') }), { ...clerk, searchPath })?.code;
    expect(at(['public'])).toBeUndefined();
    expect(at(['app', 'public'])).toBeUndefined();
    expect(at(['app', 'hr'])).toBe('table');
    expect(at([])).toBe('table');
  });

  it('are denied where they are in any schema', () => {
    const given = judging([rule('a')], [rule('b', undefined, ['hr.salaries'])]);
    expect(judge(factsWith({ tables: reads('salaries') }), given)).toMatchObject({ code: 'deny' });
    expect(judge(factsWith({ tables: reads('public.salaries') }), given)).toBeUndefined();
  });

  // The path set under one role would send another role's unqualified names elsewhere.
  it('keep their path wherever one role has tables', () => {
    const given = judging([rule('reader', ['select']), rule('clerk', undefined, ['public.a'])]);
    const set = factsWith({ classes: ['set'], searchPath: ['hr'] });
    expect(judge(set, given)).toMatchObject({ code: 'search_path', rule: { role: 'clerk' } });
    expect(judge(set, { ...given, searchPath: ['hr', 'public'] })).toBeUndefined();
    expect(judge(set, judging([rule('reader', ['select'])]))).toBeUndefined();
  });
});

describe('unqualified names of the catalogs', () => {
  it('are not found in the schemas of the path', () => {
    const given = judging([rule('clerk', undefined, ['public.*'])]);
    const judgeOf = (name: string) => judge(factsWith({ tables: reads(name) }), given)?.code;
    expect(judgeOf('orders')).toBeUndefined();
    expect(judgeOf('pg_class')).toBeUndefined();
    for (const name of ['pg_authid', 'pg_stats', 'pg_stat_activity', 'pg_user_mappings'])
      expect(judgeOf(name), name).toBe('table');
    const written = [{ schema: undefined, name: 'pg_class', isWritten: true }];
    expect(judge(factsWith({ classes: ['delete'], tables: written }), given)?.code).toBe('table');
    const all = judging([rule('clerk', undefined, ['public.*', 'pg_catalog.*'])]);
    expect(judge(factsWith({ tables: reads('pg_authid') }), all)).toBeUndefined();
  });
});

describe('EXECUTE', () => {
  const run = factsWith({ classes: [], executes: 'p' });
  const dba = judging([rule('dba', ['select'])]);

  it('does what was prepared', () => {
    const prepared = () => factsWith({ classes: ['delete'] });
    expect(judge(run, { ...dba, prepared })).toMatchObject({ code: 'class' });
    expect(judge(run, { ...dba, prepared: () => factsWith({}) })).toBeUndefined();
  });

  it('of what executes another is refused: that may be another one by then', () => {
    const prepared = () => factsWith({ executes: 'q' });
    expect(judge(run, { ...dba, prepared })).toMatchObject({ code: 'unknown_prepared' });
  });

  it('of an unknown name is refused', () => {
    expect(judge(run, dba)).toMatchObject({ code: 'unknown_prepared' });
  });
});

describe('patterns of tables', () => {
  it.each([
    ['public.orders', 'public', 'orders', true],
    ['public.orders', 'public', 'Orders', false],
    ['public.orders', 'public', 'orders2', false],
    ['public.*', 'public', 'a', true],
    ['*.orders', 'x', 'orders', true],
    ['*.*', 'x', 'y', true],
    ['public.or*rs', 'public', 'orders', true],
    ['public.or*rs', 'public', 'orrs', true],
    ['public.or*rs', 'public', 'ors', false],
    ['public.or*rs', 'public', 'or', false],
    ['public.a*a', 'public', 'a', false],
    ['public.a*b*c', 'public', 'axxbxc', true],
    ['public.a*b*c', 'public', 'axxc', false],
    ['public.**', 'public', '', true],
    ['*.*', 'pg_catalog', 'pg_authid', false],
    ['*.*', 'pg_temp', 'x', false],
    ['pg*.*', 'pg_temp', 'x', false],
    ['pg_temp.*', 'pg_temp', 'x', true],
    ['*.*', 'information_schema', 'tables', false],
  ])('%s allows %s.%s: %s', (pattern, schema, name, expected) => {
    expect(isAllowedTable([pattern], schema, name)).toBe(expected);
  });

  it('deny schemas of the server with * too', () => {
    expect(isDeniedTable(['*.pg_authid'], 'pg_catalog', 'pg_authid')).toBe(true);
    expect(isDeniedTable(['*.pg_authid'], undefined, 'pg_authid')).toBe(true);
    expect(isDeniedTable(['hr.*'], 'public', 'a')).toBe(false);
  });

  it('take no longer than the product of the lengths', () => {
    const pattern = `public.${'a*'.repeat(120)}b`;
    expect(isAllowedTable([pattern], 'public', 'a'.repeat(63))).toBe(false);
  });
});
