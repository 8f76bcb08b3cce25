/**
 * May a statement run? One role must allow the whole of it, all its classes and all its tables: what two roles grant is
 * not added up within a statement. No deny block may cover it. A text that can not be read, a change of who acts and
 * whatever would make the facts untrue are refused wherever a role restricts statements or tables at all.
 *
 * Unqualified names are found by the session's search path, so they are allowed only where they would be in each of its
 * schemas, and denied where they would be in any schema. The path itself may only be changed to schemas that are on it.
 */
import type { StatementRule, StatementRules } from '@gatehouse/policy';

import { isReadableCatalog, showsOthers } from './catalogs.js';
import { uniteFacts } from './fact-union.js';
import type {
  ParsedText,
  StatementClass,
  StatementFacts,
  TableUse,
  UnparsedReason,
} from './facts.js';
import { isAllowedTable, isDeniedTable } from './table-pattern.js';

/** Why a statement is refused; `message` is for the person and holds no control characters. */
export interface Refusal {
  readonly code:
    | 'class'
    | 'table'
    | 'deny'
    | 'unparsed'
    | 'actor'
    | 'reading'
    | 'search_path'
    | 'unknown_prepared';
  readonly message: string;
  /** The role and its list that refuse; undefined where no list does, but that there is one. */
  readonly rule:
    | { readonly role: string; readonly list: 'db_statements' | 'db_tables' }
    | undefined;
}

/** What holds in a session. */
export interface Judging {
  readonly rules: StatementRules;
  /** Schemas in which the server looks for unqualified names, `pg_catalog` left out; default `public`. */
  readonly searchPath?: readonly string[];
  /** What a name stands for that was prepared in this session, by PREPARE or by Parse. */
  readonly prepared: (name: string) => StatementFacts | undefined;
}

/** Classes that drivers and pools need for themselves: allowed unless denied. */
const driverClasses: ReadonlySet<StatementClass> = new Set(['show', 'transaction', 'set']);

/** Is there anything to judge? If not, texts need not be parsed. */
export function hasStatementPolicy({ allow, deny }: StatementRules): boolean {
  const isOpen = (rule: StatementRule) => (rule.statements ?? rule.tables) === undefined;
  return deny.length > 0 || !allow.some(isOpen);
}

/** Tables of all statements of a text: each is looked for in all lists, in the thread that serves everybody. */
const maxJudgedTables = 50_000;

/** Judges a text as a whole, the statements in their order: what one prepares, a later one may execute. */
export function judgeText(text: ParsedText, judging: Judging): Refusal | undefined {
  if (!hasStatementPolicy(judging.rules)) return undefined;
  if (text.kind === 'unparsed') return refuse('unparsed', unparsedMessages[text.reason]);
  const prepared = new Map<string, StatementFacts>();
  const lookUp = (name: string) => prepared.get(name) ?? judging.prepared(name);
  let left = maxJudgedTables;
  for (const facts of text.statements) {
    const whole = withExecuted(facts, lookUp);
    left -= 1 + (whole?.tables.length ?? 0);
    if (left < 0) return refuse('unparsed', unparsedMessages.too_long);
    const refusal = judgeWhole(whole, judging);
    if (refusal !== undefined) return refusal;
    if (facts.prepares !== undefined) prepared.set(facts.prepares, facts);
  }
  return undefined;
}

const unparsedMessages: Readonly<Record<UnparsedReason, string>> = {
  encoding: 'the statement is not valid UTF-8 text',
  syntax: 'the statement can not be parsed',
  too_long: 'the statement is too long to be judged',
  timeout: 'the statement could not be parsed in time',
  busy: 'too many statements are waiting to be judged',
  failed: 'the statement can not be parsed',
};

/** The refusal of a statement; undefined: it may run. */
export function judge(facts: StatementFacts, judging: Judging): Refusal | undefined {
  if (!hasStatementPolicy(judging.rules)) return undefined;
  return judgeWhole(withExecuted(facts, judging.prepared), judging);
}

/** @param whole undefined: it executes what nobody knows */
function judgeWhole(whole: StatementFacts | undefined, judging: Judging): Refusal | undefined {
  if (whole === undefined) {
    return refuse('unknown_prepared', 'the prepared statement is not known here');
  }
  const { deny } = judging.rules;
  return judgeGround(whole, judging) ?? findDenying(whole, deny) ?? findUncovered(whole, judging);
}

/** EXECUTE does what was prepared. */
function withExecuted(
  facts: StatementFacts,
  prepared: Judging['prepared'],
): StatementFacts | undefined {
  if (facts.executes === undefined) return facts;
  const inner = prepared(facts.executes);
  // What that executes in its turn may have been prepared anew since.
  if (inner?.executes !== undefined || inner === undefined) return undefined;
  return uniteFacts(facts, inner);
}

/** The person's own schema, which is on the path that a server has by default. */
const ownSchema = '$user';

/** What would make the facts of this or of later statements untrue. */
function judgeGround(facts: StatementFacts, judging: Judging): Refusal | undefined {
  if (facts.isUnknown) return refuse('unparsed', 'the statement is of a kind not known here');
  if (facts.changesActor) {
    return refuse('actor', 'changing the role or the session authorization is not allowed');
  }
  if (facts.changesReading) {
    return refuse('reading', 'changing how statements are read is not allowed');
  }
  const { allow, deny } = judging.rules;
  const ruling = [...allow, ...deny].find(({ tables }) => tables !== undefined);
  if (ruling === undefined || facts.searchPath === undefined) return undefined;
  const path = [...searchPathOf(judging), ownSchema];
  if (facts.searchPath !== 'unknown' && facts.searchPath.every((name) => path.includes(name))) {
    return undefined;
  }
  const rule = { role: ruling.role, list: 'db_tables' } as const;
  return refuse('search_path', `changing search_path is not allowed (role ${rule.role})`, rule);
}

function findDenying(facts: StatementFacts, deny: readonly StatementRule[]): Refusal | undefined {
  for (const rule of deny) {
    const what = findCovered(facts, rule);
    if (what === undefined) continue;
    const list = rule.statements === undefined ? 'db_tables' : 'db_statements';
    return refuse('deny', `${what} is denied (role ${rule.role})`, { role: rule.role, list });
  }
  return undefined;
}

/** A deny block covers a statement where every list it has does: a class of it and a table of it. Gives both in words. */
function findCovered(facts: StatementFacts, rule: StatementRule): string | undefined {
  const words: string[] = [];
  if (rule.statements !== undefined) {
    const name = findClass(facts, rule.statements);
    if (name === undefined) return undefined;
    words.push(`statement class "${name}"`);
  }
  if (rule.tables !== undefined) {
    const table = findDenied(facts, rule.tables);
    if (table === undefined) return undefined;
    words.push(table);
  }
  return words.join(' on ');
}

function findClass(facts: StatementFacts, words: readonly string[]): StatementClass | undefined {
  return facts.classes.find((name) => words.includes(name) || words.includes('*'));
}

const hiddenTables = 'a statement that does not name all its tables';

function findDenied(facts: StatementFacts, patterns: readonly string[]): string | undefined {
  const use = facts.tables.find(({ schema, name }) => isDeniedTable(patterns, schema, name));
  if (use !== undefined) return describe(use);
  const isHiding =
    facts.hidesTables || facts.tables.some(({ schema, name }) => showsOthers(schema, name));
  return isHiding ? hiddenTables : undefined;
}

/** The refusal of the first role, where none allows the whole statement. */
function findUncovered(facts: StatementFacts, judging: Judging): Refusal | undefined {
  let first: Refusal | undefined;
  for (const rule of judging.rules.allow) {
    const refusal = judgeClasses(facts, rule) ?? judgeTables(facts, rule, searchPathOf(judging));
    if (refusal === undefined) return undefined;
    first ??= refusal;
  }
  return first ?? refuse('class', 'no role allows statements here');
}

function judgeClasses(facts: StatementFacts, rule: StatementRule): Refusal | undefined {
  const { role, statements } = rule;
  if (statements === undefined || statements.includes('*')) return undefined;
  const word = facts.classes.find((name) => !driverClasses.has(name) && !statements.includes(name));
  if (word === undefined) return undefined;
  const message = `statement class "${word}" is not allowed (role ${role})`;
  return refuse('class', message, { role, list: 'db_statements' });
}

function judgeTables(
  facts: StatementFacts,
  { role, tables }: StatementRule,
  searchPath: readonly string[],
): Refusal | undefined {
  if (tables === undefined) return undefined;
  const use = facts.tables.find((one) => !isCovered(one, tables, searchPath));
  if (use === undefined && !facts.hidesTables) return undefined;
  const what = use === undefined ? hiddenTables : describe(use);
  return refuse('table', `${what} is not allowed (role ${role})`, { role, list: 'db_tables' });
}

function isCovered(
  { schema, name, isWritten }: TableUse,
  patterns: readonly string[],
  searchPath: readonly string[],
): boolean {
  if (!isWritten && isReadableCatalog(schema, name)) return true;
  const schemas = schema === undefined ? placesOf(name, searchPath) : [schema];
  return schemas.length > 0 && schemas.every((one) => isAllowedTable(patterns, one, name));
}

/** Where the server may find an unqualified name: `pg_catalog` comes before the search path, and all its tables begin so. */
function placesOf(name: string, searchPath: readonly string[]): readonly string[] {
  return name.startsWith('pg_') ? ['pg_catalog', ...searchPath] : searchPath;
}

function searchPathOf({ searchPath }: Judging): readonly string[] {
  return searchPath ?? ['public'];
}

function describe({ schema, name }: TableUse): string {
  const text = schema === undefined ? name : `${schema}.${name}`;
  // The name is the client's; nothing in it may act on a terminal or a log.
  return `table "${text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '\u{fffd}')}"`;
}

function refuse(code: Refusal['code'], message: string, rule?: Refusal['rule']): Refusal {
  return { code, message, rule };
}
