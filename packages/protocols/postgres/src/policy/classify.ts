/**
 * The facts of the statements in a parsed text. The tree is walked with a list of what is left to do, never by
 * recursion, since its depth is the client's choice; every node is visited once. Nothing here asks what a role may do:
 * that is `judge.ts`.
 */
import { Collector, type Scope, type Step } from './collector.js';
import { statementClasses, type StatementFacts } from './facts.js';
import { isStatementType, statementRowOf } from './statement-classes.js';
import { isFields, listChildren, listOf, nodeOf, textOf, type Fields } from './tree.js';
import { visitors } from './visitors.js';

/** More tables than these in a statement, or in a text, are not listed; the statement then counts as one that hides some. */
const maxTables = 500;
const maxTextTables = 10_000;
/** WITH inside WITH; deeper ones are taken for unknown, so that looking a name up has a bound. */
const maxScopes = 64;

/**
 * Facts for each statement of the tree that the parser gives for a text of `textBytes` bytes.
 * @param tree libpg-query's `ParseResult`
 */
export function classifyTree(tree: unknown, textBytes: number): StatementFacts[] {
  const statements = isFields(tree) ? listOf(tree['stmts'] ?? []) : [];
  let tablesLeft = maxTextTables;
  return statements.filter(isFields).map((raw) => {
    const start = numberOf(raw['stmt_location']);
    const length = numberOf(raw['stmt_len']);
    const found = new Collector(Math.min(maxTables, tablesLeft));
    const facts = classifyStatement(found, isFields(raw['stmt']) ? raw['stmt'] : {});
    tablesLeft -= facts.tables.length;
    return { start, end: length === 0 ? textBytes : start + length, ...facts };
  });
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function classifyStatement(
  found: Collector,
  statement: Fields,
): Omit<StatementFacts, 'start' | 'end'> {
  const node = nodeOf('', statement);
  if (statementRowOf(node.type) === undefined) found.isUnknown = true;
  found.todo.push({ node, parent: '', scope: undefined, isRun: true });
  for (let step = found.todo.pop(); step !== undefined; step = found.todo.pop()) {
    visit(found, step);
  }
  return {
    classes: statementClasses.filter((name) => found.classes.has(name)),
    tables: [...found.tables.values()].toReversed(),
    hidesTables: found.hidesTables,
    prepares: found.prepares,
    executes: found.executes,
    isUnknown: found.isUnknown,
    isLocal: found.isLocal,
    ...found.settings,
  };
}

function visit(found: Collector, step: Step): void {
  const { type, fields } = step.node;
  if (isStatementType(type)) visitStatement(found, step);
  if (fields['behavior'] === 'DROP_CASCADE') found.hidesTables = true;
  visitors.get(type)?.(found, step);
  // What FOR UPDATE OF names are the query's own items, not tables.
  if (type === 'LockingClause') return;
  const isPlan = type === 'ExplainStmt' && !isAnalyzed(fields);
  pushChildren(found, isPlan ? { ...step, isRun: false } : step);
}

function visitStatement(found: Collector, step: Step): void {
  const row = statementRowOf(step.node.type);
  if (row === undefined) {
    found.isUnknown = true;
    return;
  }
  found.addClasses(step, ...row.classes);
  found.hidesTables ||= row.hidesTables;
}

/** Children see the names of a WITH that stands among them; its own queries see those that come before them, or all. */
function pushChildren(found: Collector, { node, scope, isRun }: Step): void {
  const list = node.fields['withClause'];
  const inner = isFields(list) ? openScope(found, list, scope) : scope;
  for (const child of listChildren(node.fields)) {
    if (child.place === 'withClause' && inner !== undefined) {
      pushQueries(found, child.fields, { scope: inner, isRun });
    } else {
      found.todo.push({ node: child, parent: node.type, scope: inner, isRun });
    }
  }
}

function pushQueries(
  found: Collector,
  list: Fields,
  below: { scope: Scope; isRun: boolean },
): void {
  for (const [index, query] of listChildren(list).entries()) {
    const scope = list['recursive'] === true ? below.scope : { ...below.scope, seen: index };
    found.todo.push({ node: query, parent: 'WithClause', scope, isRun: below.isRun });
  }
}

function openScope(found: Collector, list: Fields, outer: Scope | undefined): Scope {
  const names = new Map<string, number>();
  for (const [index, { fields }] of listChildren(list).entries()) {
    const name = textOf(fields, 'ctename');
    if (name !== undefined && !names.has(name)) names.set(name, index);
  }
  const depth = (outer?.depth ?? 0) + 1;
  if (depth <= maxScopes) return { names, seen: names.size, outer, depth };
  found.isUnknown = true;
  return { names, seen: names.size, outer: undefined, depth };
}

/** The last of several `ANALYZE` options counts for the server; here one that is not plainly off is enough. */
function isAnalyzed(explain: Fields): boolean {
  return listOf(explain['options']).some((option) => {
    if (!isFields(option) || !isFields(option['DefElem'])) return false;
    const { defname, arg } = option['DefElem'];
    return defname === 'analyze' && !isOff(arg);
  });
}

function isOff(arg: unknown): boolean {
  if (!isFields(arg)) return false;
  const { String: text, Integer: number } = arg;
  if (isFields(text)) return /^(false|off)$/i.test(textOf(text, 'sval') ?? '');
  return isFields(number) && (number['ival'] ?? 0) === 0;
}
