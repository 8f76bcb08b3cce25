import type { StatementRule, StatementRules } from '@gatehouse/policy';
import { expect, it } from 'vitest';

import { areNarrower } from './statement-rules.js';

const rule = (statements?: string[], tables?: string[]): StatementRule => ({
  role: 'r',
  statements,
  tables,
});
const rules = (allow: StatementRule[], deny: StatementRule[] = []): StatementRules => ({
  allow,
  deny,
});
const open = rules([rule()]);
const reading = rules([rule(['select'])]);
const denying = (...deny: StatementRule[]) => rules([rule()], deny);

it.each<[string, StatementRules, StatementRules]>([
  ['a list of classes where there was none', open, reading],
  ['a list of all classes, as who acts is then kept', open, rules([rule(['*'])])],
  ['a list of tables where there was none', open, rules([rule(undefined, ['*.*'])])],
  ['a class less', rules([rule(['select', 'insert'])]), reading],
  ['another class', rules([rule(['insert'])]), reading],
  ['a table less', rules([rule(['*'], ['a.a', 'a.b'])]), rules([rule(['*'], ['a.a'])])],
  ['a role less', rules([rule(['select']), rule(['insert'])]), reading],
  [
    'two roles that allow by halves what one allowed',
    rules([rule(['select', 'insert'])]),
    rules([rule(['select']), rule(['insert'])]),
  ],
  ['a deny block', open, denying(rule(['ddl']))],
  [
    'a deny block for all tables',
    denying(rule(['ddl'], ['hr.*'])),
    denying(rule(['ddl']), rule(undefined, ['hr.*'])),
  ],
  ['a class more that is denied', denying(rule(['ddl'])), denying(rule(['ddl', 'copy']))],
  // The path that was set under the first role would send the second one's unqualified names elsewhere.
  [
    'a role with the first tables',
    reading,
    rules([rule(['select']), rule(['insert'], ['public.a'])]),
  ],
])('takes for narrower: %s', (_, earlier, later) => {
  expect(areNarrower(later, earlier)).toBe(true);
});

it.each<[string, StatementRules, StatementRules]>([
  ['the same', rules([rule(['select'], ['a.a'])]), rules([rule(['select'], ['a.a'])])],
  ['the same in another order', rules([rule(['a', 'b'])]), rules([rule(['b', 'a'])])],
  ['no list', reading, open],
  ['a class more', reading, rules([rule(['select', 'insert'])])],
  ['a role more', reading, rules([rule(['select']), rule(['insert'])])],
  ['a table more', rules([rule(['select'], ['a.a'])]), rules([rule(['select'], ['a.a', 'hr.*'])])],
  ['no deny block', denying(rule(['ddl'])), open],
  ['a deny block for less', denying(rule(['ddl', 'copy'])), denying(rule(['ddl']))],
])('takes for no narrower: %s', (_, earlier, later) => {
  expect(areNarrower(later, earlier)).toBe(false);
});
