/** What single kinds of nodes say about their statement, beyond the row of the statement's own kind. */
import { isBeyondAscii, isQueryName, type Collector, type Step } from './collector.js';
import type { StatementClass } from './facts.js';
import { columnRowOf, functionRowOf } from './functions.js';
import { anySetting, settingFactsOf, splitList } from './settings.js';
import { constantOf, isFields, listOf, namesOf, textOf, type TreeNode } from './tree.js';

type Visitor = (found: Collector, step: Step) => void;

/** By node type. */
export const visitors: ReadonlyMap<string, Visitor> = new Map<string, Visitor>([
  ['RangeVar', visitTable],
  ['SelectStmt', visitSelect],
  ['InsertStmt', visitInsert],
  ['UpdateStmt', visitChange],
  ['DeleteStmt', visitChange],
  ['MergeStmt', visitChange],
  ['MergeWhenClause', visitMergeAction],
  ['CopyStmt', visitCopy],
  ['VariableSetStmt', visitSet],
  ['TransactionStmt', visitTransaction],
  ['LockStmt', visitLock],
  ['FuncCall', visitCall],
  ['ColumnRef', visitColumn],
  ['A_Indirection', visitIndirection],
  ['PrepareStmt', (found, { node }) => (found.prepares = nameOf(found, node))],
  ['ExecuteStmt', (found, { node }) => (found.executes = nameOf(found, node))],
  ['GrantStmt', visitGrant],
  ['DropStmt', visitDrop],
  ['CommentStmt', visitLabelled],
  ['SecLabelStmt', visitLabelled],
  ['VacuumStmt', hideUnless('rels')],
  ['ClusterStmt', hideUnless('relation')],
  ['ReindexStmt', hideUnless('relation')],
  ['RenameStmt', hideUnless('relation')],
  ['AlterOwnerStmt', hideUnless('relation')],
  ['AlterObjectSchemaStmt', hideUnless('relation')],
  ['AlterObjectDependsStmt', hideUnless('relation')],
]);

function nameOf(found: Collector, { fields }: TreeNode): string {
  const name = textOf(fields, 'name') ?? '';
  found.noteName(name);
  return name;
}

/** Without the field the statement means every table there is, or something that is not a table. */
function hideUnless(field: string): Visitor {
  return (found, { node }) => {
    if (node.fields[field] === undefined) found.hidesTables = true;
  };
}

/** Where a table that the tree leaves open is one that a query reads. */
const readers: ReadonlySet<string> = new Set([
  'SelectStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'JoinExpr',
  'RangeTableSample',
]);

/** A WITH's name hides a table only where rows are read: `WITH t AS (…) DELETE FROM t` deletes from the table. */
function visitTable(found: Collector, { node, parent, scope }: Step): void {
  const name = textOf(node.fields, 'relname') ?? '';
  const isTemporary = node.fields['relpersistence'] === 't';
  const schema = textOf(node.fields, 'schemaname') ?? (isTemporary ? 'pg_temp' : undefined);
  const isRead = node.isBare ? parent === 'TableLikeClause' : readers.has(parent);
  if (isRead && !node.isBare && schema === undefined && isQueryName(name, scope)) {
    // The server may see another name here than there.
    found.noteName(name);
    return;
  }
  // What COPY does with its table is said by COPY.
  if (parent !== 'CopyStmt') found.addTable(schema, name, !isRead);
}

function visitSelect(found: Collector, step: Step): void {
  const { fields, place } = step.node;
  const isPlainValues = fields['valuesLists'] !== undefined && fields['withClause'] === undefined;
  if (!(step.parent === 'InsertStmt' && place === 'selectStmt' && isPlainValues)) {
    found.addClasses(step, 'select');
  }
  if (fields['intoClause'] !== undefined) found.addClasses(step, 'ddl');
  if (fields['lockingClause'] !== undefined) found.addClasses(step, 'update');
}

function visitInsert(found: Collector, step: Step): void {
  const conflict = step.node.fields['onConflictClause'];
  if (isFields(conflict) && conflict['action'] === 'ONCONFLICT_UPDATE') {
    found.addClasses(step, 'update');
  }
  visitChange(found, step);
}

function visitChange(found: Collector, step: Step): void {
  const { relation, returningClause } = step.node.fields;
  if (returningClause !== undefined) found.addClasses(step, 'select');
  // Updating this view is another way to write SET.
  if (isFields(relation) && relation['relname'] === 'pg_settings') found.addSettings(anySetting);
}

const mergeActions: ReadonlyMap<unknown, StatementClass> = new Map([
  ['CMD_INSERT', 'insert'],
  ['CMD_UPDATE', 'update'],
  ['CMD_DELETE', 'delete'],
  ['CMD_NOTHING', 'select'],
]);

function visitMergeAction(found: Collector, step: Step): void {
  const action = mergeActions.get(step.node.fields['commandType']);
  if (action !== undefined) found.addClasses(step, action);
}

function visitCopy(found: Collector, step: Step): void {
  const { relation, filename, is_from: isFrom, is_program: isProgram } = step.node.fields;
  if (isFields(relation)) {
    found.addClasses(step, isFrom === true ? 'insert' : 'select');
    found.addTable(
      textOf(relation, 'schemaname'),
      textOf(relation, 'relname') ?? '',
      isFrom === true,
    );
  }
  if (filename !== undefined || isProgram === true) {
    found.addClasses(step, 'utility');
    found.hidesTables = true;
  }
}

/** Kinds of SET and RESET that take a value other than the one the session began with. */
const settingKinds: ReadonlySet<unknown> = new Set(['VAR_SET_VALUE', 'VAR_SET_CURRENT']);
const knownKinds: ReadonlySet<unknown> = new Set([
  ...settingKinds,
  'VAR_SET_DEFAULT',
  'VAR_SET_MULTI',
  'VAR_RESET',
  'VAR_RESET_ALL',
]);

function visitSet(found: Collector, step: Step): void {
  const { kind, args } = step.node.fields;
  const name = textOf(step.node.fields, 'name');
  found.noteName(name);
  const isTransaction = kind === 'VAR_SET_MULTI' && name !== 'SESSION CHARACTERISTICS';
  if (step.parent === '') found.addClasses(step, isTransaction ? 'transaction' : 'set');
  if (!knownKinds.has(kind)) found.isUnknown = true;
  if (settingKinds.has(kind)) {
    found.addSettings(
      settingFactsOf(name, args === undefined ? [] : listOf(args).map((arg) => constantOf(arg))),
    );
  }
}

/** These end what another session of the same user has prepared. */
const othersTransactions: ReadonlySet<unknown> = new Set([
  'TRANS_STMT_COMMIT_PREPARED',
  'TRANS_STMT_ROLLBACK_PREPARED',
]);

function visitTransaction(found: Collector, step: Step): void {
  if (othersTransactions.has(step.node.fields['kind'])) found.addClasses(step, 'utility');
}

/** ACCESS SHARE is what reading takes by itself, and what pg_dump takes first. */
const accessShare = 1;

function visitLock(found: Collector, step: Step): void {
  found.addClasses(step, step.node.fields['mode'] === accessShare ? 'select' : 'utility');
}

function visitCall(found: Collector, step: Step): void {
  const { funcname, args } = step.node.fields;
  const names = namesOf(funcname);
  for (const part of names) found.noteName(part);
  const name = names.at(-1) ?? '';
  addFunction(found, step, functionRowOf(name));
  if (sequenceFunctions.has(name)) addSequence(found, listOf(args)[0]);
  if (name !== 'set_config') return;
  const [setting, value] = args === undefined ? [] : listOf(args).map((arg) => constantOf(arg));
  const isPath = setting?.toLowerCase() === 'search_path';
  found.addSettings(settingFactsOf(setting, isPath ? splitList(value) : [value]));
}

const sequenceFunctions: ReadonlySet<string> = new Set(
  'nextval setval currval pg_sequence_last_value'.split(' '),
);
const sequenceTypes: ReadonlySet<string> = new Set(['text', 'regclass']);

/** A sequence stands in a text: `'s'`, `'hr.s'::regclass`. */
function addSequence(found: Collector, argument: unknown): void {
  const parts = constantOf(argument, sequenceTypes)?.split('.') ?? [];
  // A longer one is cut by the server.
  const names = parts.filter((part) => /^[a-z_][a-z0-9_$]{0,62}$/i.test(part));
  const [name, schema] = names.map((part) => part.toLowerCase()).toReversed();
  if (name === undefined || parts.length > 2 || names.length < parts.length)
    found.hidesTables = true;
  else found.addTable(schema, name, true);
}

function addFunction(found: Collector, step: Step, row: ReturnType<typeof functionRowOf>): void {
  if (row === undefined) return;
  found.addClasses(step, ...row.classes);
  found.hidesTables ||= row.hidesTables;
}

/** `x.f` calls the function `f` with `x` where `x` has no column of that name. */
function visitColumn(found: Collector, step: Step): void {
  for (const name of namesOf(step.node.fields['fields']).slice(1)) addAttribute(found, step, name);
}

function visitIndirection(found: Collector, step: Step): void {
  for (const name of namesOf(step.node.fields['indirection'])) addAttribute(found, step, name);
}

function addAttribute(found: Collector, step: Step, name: string): void {
  addFunction(found, step, columnRowOf(name));
  // Columns beyond ASCII are common. No locale of single bytes folds another letter to an ASCII one than İ to i.
  if (isBeyondAscii(name) && columnRowOf(name.replaceAll(/[^\0-\x7f]/gu, 'i')) !== undefined)
    found.isLocal = true;
}

function visitGrant(found: Collector, { node }: Step): void {
  const objects = listOf(node.fields['objects']);
  const areTables = objects.every((object) => isFields(object) && isFields(object['RangeVar']));
  if (!areTables) found.hidesTables = true;
}

/** Things with the place of a table, named by themselves. */
const namedKinds: ReadonlySet<unknown> = new Set([
  'OBJECT_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_INDEX',
  'OBJECT_SEQUENCE',
  'OBJECT_FOREIGN_TABLE',
]);
/** Parts of a table, whose name comes last. */
const partKinds: ReadonlySet<unknown> = new Set([
  'OBJECT_COLUMN',
  'OBJECT_TRIGGER',
  'OBJECT_RULE',
  'OBJECT_POLICY',
  'OBJECT_TABCONSTRAINT',
]);

function visitDrop(found: Collector, step: Step): void {
  const { removeType, objects } = step.node.fields;
  if (removeType === 'OBJECT_POLICY') found.addClasses(step, 'dcl');
  for (const object of listOf(objects)) addObject(found, removeType, object);
}

function visitLabelled(found: Collector, { node }: Step): void {
  addObject(found, node.fields['objtype'], node.fields['object']);
}

function addObject(found: Collector, kind: unknown, object: unknown): void {
  const names = namesOf(object);
  if (partKinds.has(kind)) names.pop();
  else if (!namedKinds.has(kind)) names.length = 0;
  const name = names.pop();
  if (name === undefined) found.hidesTables = true;
  else found.addTable(names.pop(), name, true);
}
