import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';

import { classifyTree } from './classify.js';
import { evasions } from './evasions.fixture.js';
import type { ParsedText } from './facts.js';
import { judgeText } from './judge.js';
import { createStatementParser } from './parse.js';
import { statementRowOf } from './statement-classes.js';
import { fixturePolicies, plainStatements, verdicts } from './statements.fixture.js';
import { nodeOf } from './tree.js';

const parser = createStatementParser();
afterAll(async () => parser[Symbol.asyncDispose]());

const parse = async (text: string) => parser.parse(Buffer.from(text), 'ada');
const prepared = () => undefined;

const classesOf = (parsed: ParsedText) =>
  parsed.kind === 'unparsed'
    ? '-'
    : parsed.statements.map(({ classes }) => classes.join(' ')).join('; ');

const factsOf = async (text: string) => {
  const parsed = await parse(text);
  const [facts] = parsed.kind === 'parsed' ? parsed.statements : [];
  if (facts === undefined) throw new Error('no statement');
  return facts;
};

describe.each([
  ['plain statements', plainStatements],
  ['evasions', evasions],
])('%s', (_name, cases) => {
  it.each(cases.map(([text, ...rest]) => [text.slice(0, 120), text, ...rest]))(
    'are told and judged by what they do: %s',
    async (_short, text, classes, letters) => {
      const parsed = await parse(text);
      const codes = Object.values(fixturePolicies).map(
        (rules) => judgeText(parsed, { rules, prepared })?.code,
      );
      expect([classesOf(parsed), ...codes]).toEqual([
        classes,
        ...letters.split('').map((letter) => verdicts[letter]),
      ]);
    },
  );
});

/** The types of the parser's tree, as its package declares them. */
function readTypes(): string {
  const require = createRequire(import.meta.url);
  const parserEntry = createRequire(require.resolve('libpg-query'));
  const entry = parserEntry.resolve('@pgsql/types');
  return readFileSync(new URL('types.d.ts', `file://${entry}`), 'utf8');
}

describe('the grammar', () => {
  it('has a row for each of its statements', () => {
    const types = [...readTypes().matchAll(/export interface (\w+Stmt) /g)].map(([, name]) => name);
    expect(types.length).toBeGreaterThan(110);
    expect(types.filter((name) => statementRowOf(name ?? '') === undefined)).toEqual([]);
  });

  // A statement, function call or table in a place whose type is fixed would be passed over.
  it('has no bare node that the walk does not know', () => {
    const found: string[] = [];
    for (const [, type, body] of readTypes().matchAll(/export interface (\w+) \{([^}]*)\}/g)) {
      for (const [, place, inner] of (body ?? '').matchAll(
        /(\w+)\?: (\w+Stmt|FuncCall)(?:\[\])?;/g,
      )) {
        if (nodeOf(place ?? '', {}).type !== inner && type !== 'ParseResult') {
          found.push(`${type}.${place}: ${inner}`);
        }
      }
    }
    expect(found).toEqual([]);
  });
});

describe('tables', () => {
  it('are told as read or written', async () => {
    expect((await factsOf('INSERT INTO a.b SELECT * FROM c, a.d JOIN e ON true')).tables).toEqual(
      expect.arrayContaining([
        { schema: 'a', name: 'b', isWritten: true },
        { schema: undefined, name: 'c', isWritten: false },
        { schema: 'a', name: 'd', isWritten: false },
        { schema: undefined, name: 'e', isWritten: false },
      ]),
    );
  });

  it('count as written where one place of several writes', async () => {
    expect((await factsOf('INSERT INTO a SELECT * FROM a')).tables).toEqual([
      { schema: undefined, name: 'a', isWritten: true },
    ]);
  });

  it('count as hidden where there are too many to list', async () => {
    const many = Array.from({ length: 600 }, (_, index) => `t${index}`).join(', ');
    const facts = await factsOf(`SELECT 1 FROM ${many}`);
    expect(facts).toMatchObject({ hidesTables: true });
    expect(facts.tables).toHaveLength(500);
    const parsed = await parse(`SELECT 1 FROM ${many};`.repeat(21));
    const statements = parsed.kind === 'parsed' ? parsed.statements : [];
    expect(statements.reduce((sum, { tables }) => sum + tables.length, 0)).toBe(10_000);
    expect(statements.every(({ hidesTables }) => hidesTables)).toBe(true);
  });
});

describe('search paths', () => {
  const schemas = (count: number) =>
    Array.from({ length: count }, (_, index) => `s${index}`).join(', ');

  it('have each schema once', async () => {
    const twice = await factsOf(`SET search_path TO ${schemas(100)}, ${schemas(100)}`);
    expect(twice.searchPath).toHaveLength(100);
    const calls = "set_config('search_path', 'a,b', false),".repeat(100);
    expect((await factsOf(`SELECT ${calls} 1`)).searchPath).toEqual(['a', 'b']);
  });

  // Each name of a session kept thousands of them.
  it('are unknown where they are longer than anybody writes', async () => {
    expect((await factsOf(`SET search_path TO ${schemas(101)}`)).searchPath).toBe('unknown');
    expect((await factsOf(`SET search_path TO '${'s'.repeat(64)}'`)).searchPath).toBe('unknown');
    const call = (path: string) => `set_config('search_path', '${path}', false)`;
    const both = await factsOf(`SELECT ${call(schemas(80))}, ${call(schemas(120).slice(400))}`);
    expect(both.searchPath).toBe('unknown');
  });
});

describe('the place of a statement in its text', () => {
  it('is told in bytes', async () => {
    const text = "SELECT 'é'; DELETE FROM a ; -- end";
    const parsed = await parse(text);
    const parts = (parsed.kind === 'parsed' ? parsed.statements : []).map(({ start, end }) =>
      Buffer.from(text).subarray(start, end).toString().trim(),
    );
    expect(parts).toEqual(["SELECT 'é'", 'DELETE FROM a']);
  });
});

describe('PREPARE and EXECUTE', () => {
  it('name what they prepare and run', async () => {
    expect(await factsOf('PREPARE "P q" AS DELETE FROM a')).toMatchObject({ prepares: 'P q' });
    expect(await factsOf('CREATE TABLE x AS EXECUTE q')).toMatchObject({ executes: 'q' });
  });
});

describe('whatever comes', () => {
  it('has facts, or is no tree', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (tree) => {
        expect(Array.isArray(classifyTree({ stmts: [{ stmt: tree }] }, 1))).toBe(true);
      }),
    );
  });

  const words =
    'SELECT * FROM a b.c WITH ( ) , ; AS INSERT INTO VALUES DELETE UPDATE SET = 1 \'x\' "y" U& E $1 $$ WHERE EXPLAIN ANALYZE COPY TO STDOUT role MERGE USING ON WHEN MATCHED THEN FOR -- /* */ \n [ ] :: . DO CREATE TABLE DROP CASCADE';

  it('is parsed or has a mistake in it, and costs no thread', async () => {
    const lost: string[] = [];
    await using given = createStatementParser({ onReplaced: (reason) => lost.push(reason) });
    const texts = fc.array(fc.constantFrom(...words.split(' ')), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(texts, async (parts) => {
        const parsed = await given.parse(Buffer.from(parts.join(' ')), 'ada');
        expect(parsed.kind === 'parsed' || parsed.reason === 'syntax').toBe(true);
      }),
      { numRuns: 500 },
    );
    expect(lost).toEqual([]);
  });
});
