/** About what facts take in memory, so that whoever keeps them can have a bound. */
import type { ParsedText, StatementFacts, TableUse } from './facts.js';

/** An object or list with its fields, without the texts in it. */
const statementBytes = 400;
const tableBytes = 80;
const listItemBytes = 8;

function textBytes(text: string | undefined): number {
  return text === undefined ? 0 : 24 + text.length * 2;
}

function listBytes(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + listItemBytes + textBytes(text), 0);
}

/** Of one table that facts name, in bytes. */
export function sizeOfTable({ schema, name }: TableUse): number {
  return tableBytes + textBytes(schema) + textBytes(name);
}

/** Of one statement: all that its facts hold, in bytes. */
export function sizeOfFacts(facts: StatementFacts): number {
  const { classes, tables, prepares, executes, searchPath } = facts;
  return (
    statementBytes +
    listBytes(classes) +
    tables.reduce((sum, use) => sum + sizeOfTable(use), 0) +
    textBytes(prepares) +
    textBytes(executes) +
    (typeof searchPath === 'object' ? listBytes(searchPath) : 0)
  );
}

/** Of all statements of a text, in bytes; the text itself is not among them. */
export function sizeOfParsed(parsed: ParsedText): number {
  const statements = parsed.kind === 'parsed' ? parsed.statements : [];
  return statements.reduce((sum, facts) => sum + sizeOfFacts(facts), 0);
}
