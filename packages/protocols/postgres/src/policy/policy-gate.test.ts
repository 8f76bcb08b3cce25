import type { Identity } from '@gatehouse/identity';
import type { StatementRule } from '@gatehouse/policy';
import { expect, it } from 'vitest';

import { Statement } from '../wire/statement.js';
import { createStatementParser } from './parse.js';
import { PolicyGate } from './policy-gate.js';

const parser = createStatementParser();
const identity: Identity = { v: 1, user: 'ada', roles: ['r'], traits: {}, loginId: 'lgn_1' };

function open(allow: Partial<StatementRule>, deny: Partial<StatementRule>[] = []) {
  const complete = (rule: Partial<StatementRule>): StatementRule => ({
    role: 'r',
    statements: undefined,
    tables: undefined,
    ...rule,
  });
  const statements = { allow: [complete(allow)], deny: deny.map(complete) };
  const gate = new PolicyGate({ identity, statements }, parser);
  const judge = async (text: string, name?: string) => {
    const statement = Statement.of(Buffer.from(text));
    const wholeText = statement.text;
    const denial = await gate.judge(statement, {
      wholeText,
      ...(name === undefined ? {} : { name }),
    });
    return denial?.message;
  };
  return { gate, judge };
}

it('takes a name that is prepared twice for both, as the server may have refused the second', async () => {
  const { judge } = open({}, [{ statements: ['ddl'], tables: ['hr.*'] }]);
  expect(await judge('PREPARE p AS SELECT * FROM hr.salaries')).toBeUndefined();
  expect(await judge('PREPARE p AS SELECT 1')).toBeUndefined();
  expect(await judge('EXECUTE p')).toBeUndefined();
  expect(await judge('CREATE TABLE public.x AS EXECUTE p')).toContain('denied');
});

it('does not follow an EXECUTE of an EXECUTE', async () => {
  const { judge } = open({}, [{ statements: ['ddl'], tables: ['hr.*'] }]);
  expect(await judge('PREPARE p AS SELECT 1')).toBeUndefined();
  expect(await judge('CREATE TABLE public.x AS EXECUTE p', 's1')).toBeUndefined();
  expect(await judge('EXECUTE s1')).toBe('the prepared statement is not known here');
});

it('judges no names that a server of single bytes reads by its own rules', async () => {
  const { gate, judge } = open({}, [{ tables: ['hr.gehälter'] }]);
  expect(await judge('SELECT * FROM hr.andere_gehälter')).toBeUndefined();
  gate.noteSetting('server_encoding', 'LATIN1');
  expect(await judge('SELECT * FROM hr.GEHÄLTER')).toContain('server_encoding LATIN1');
  expect(await judge('SELECT * FROM hr.orders')).toBeUndefined();
});

// A server with a Turkish locale of single bytes takes İ for i.
it.each([
  ["SELECT set_confİg('role', 'reader', false)"],
  ['SELECT pg_termİnate_backend(1)'],
  ['SELECT * FROM pg_termİnate_backend(1)'],
  ['SELECT x.pg_termİnate_backend FROM (SELECT 1 AS x) y'],
  ['SELECT (1).pg_termİnate_backend'],
  ['SET SESSİON_AUTHORİZATION = reader'],
  ['WITH "salarİes" AS (SELECT 1) SELECT * FROM salarİes'],
  ['PREPARE "pİ" AS SELECT 1'],
  ['EXECUTE pİ'],
])('judges no other names beyond ASCII there either: %s', async (text) => {
  const { gate, judge } = open({}, [{ tables: ['hr.salaries'] }]);
  await judge('PREPARE "pİ" AS SELECT 1');
  gate.noteSetting('server_encoding', 'LATIN5');
  expect(await judge(text)).toBe('names beyond ASCII can not be judged in server_encoding LATIN5');
});

it('lets values and columns beyond ASCII pass there', async () => {
  const { gate, judge } = open({}, [{ tables: ['hr.salaries'] }]);
  gate.noteSetting('server_encoding', 'LATIN5');
  expect(await judge("SELECT o.größe AS İsim, lower('İ') FROM orders o")).toBeUndefined();
  expect(await judge("SET application_name = 'İ'")).toBeUndefined();
});

// The server keeps a name that is forgotten here, and refuses to take another one for it.
it('takes a name that comes again after very many others for both', async () => {
  const { judge } = open({}, [{ statements: ['ddl'], tables: ['hr.*'] }]);
  const many = (from: number) =>
    Array.from({ length: 1_000 }, (_, index) => `PREPARE n${from + index} AS SELECT 1;`).join('');
  expect(await judge('PREPARE p AS SELECT * FROM hr.salaries')).toBeUndefined();
  for (let from = 0; from < 10_000; from += 1_000) expect(await judge(many(from))).toBeUndefined();
  expect(await judge('EXECUTE p')).toBe('the prepared statement is not known here');
  expect(await judge('PREPARE p AS SELECT 1')).toBeUndefined();
  expect(await judge('EXECUTE p')).toBeUndefined();
  expect(await judge('CREATE TABLE public.x AS EXECUTE p')).toContain('denied');
});
