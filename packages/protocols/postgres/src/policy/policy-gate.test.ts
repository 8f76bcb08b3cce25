import type { StatementRule } from '@gatehouse/policy';
import { expect, it } from 'vitest';

import { Statement } from '../wire/statement.js';
import { createStatementParser } from './parse.js';
import { PolicyGate } from './policy-gate.js';

const parser = createStatementParser();

function open(allow: Partial<StatementRule>, deny: Partial<StatementRule>[] = []) {
  const complete = (rule: Partial<StatementRule>): StatementRule => ({
    role: 'r',
    statements: undefined,
    tables: undefined,
    ...rule,
  });
  const statements = { allow: [complete(allow)], deny: deny.map(complete) };
  const gate = new PolicyGate({ statements }, parser);
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
