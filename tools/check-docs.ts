/**
 * Documentation that can go stale is compared with the code, both ways.
 *   tsx tools/check-docs.ts           fail where they differ
 *   tsx tools/check-docs.ts --write   write docs/errors.md, docs/events.md, docs/events/*.schema.json and audit-service's list of types
 */
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { z } from 'zod';

const root = join(import.meta.dirname, '..');
const isWriting = process.argv.includes('--write');
const problems: string[] = [];

const errorRow = z.object({ kind: z.string(), message: z.string(), remedy: z.string().optional() });
const errorTable = z
  .record(z.string().regex(/^[A-Z][A-Z0-9_]+$/), errorRow)
  .refine((table) => Object.keys(table).length > 0);
const eventTable = z
  .record(
    z.string().regex(/^[a-z_]+\.[a-z_.]+$/),
    z.object({
      description: z.string(),
      data: z.custom<z.ZodType>((value) => value instanceof z.ZodType),
    }),
  )
  .refine((table) => Object.keys(table).length > 0);

async function load(file: string): Promise<Record<string, unknown>> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a module's exports
  return (await import(pathToFileURL(join(root, file)).href)) as Record<string, unknown>;
}

function compare(file: string, content: string): void {
  const path = join(root, file);
  if (existsSync(path) && readFileSync(path, 'utf8') === content) return;
  if (isWriting) writeFileSync(path, content);
  else problems.push(`${file} is stale: tsx tools/check-docs.ts --write`);
}

const sources = globSync('{packages,packages/protocols,services,apps}/*/src/**/*.ts', {
  cwd: root,
}).sort();

async function checkErrors(): Promise<void> {
  const lines: string[] = [];
  const owners = new Map<string, string>();
  for (const file of sources.filter((name) => name.endsWith('/errors.ts'))) {
    for (const exported of Object.values(await load(file))) {
      const parsed = errorTable.safeParse(exported);
      if (!parsed.success) continue;
      for (const [code, { kind, message, remedy }] of Object.entries(parsed.data)) {
        const before = owners.get(code);
        if (before !== undefined && before !== file)
          problems.push(`error code ${code} stands in ${before} and ${file}`);
        owners.set(code, file);
        lines.push(
          `| \`${code}\` | ${kind} | ${escapeCell(message)} | ${escapeCell(remedy ?? '')} |`,
        );
      }
    }
  }
  lines.sort();
  compare(
    'docs/errors.md',
    `# Errors\n\nEvery error that a person or a client may see. The id (\`err_…\`) beside it is also in the service's log. Written by\n\`tools/check-docs.ts --write\` from the tables in the code.\n\n| code | kind | text | what to do |\n| --- | --- | --- | --- |\n${lines.join('\n')}\n`,
  );
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ').replaceAll('<', '&lt;');
}

interface OwnedEvent {
  readonly description: string;
  readonly data: z.ZodType;
  readonly owner: string;
}

async function collectEvents(): Promise<Map<string, OwnedEvent>> {
  const found = new Map<string, OwnedEvent>();
  const isTable = (name: string) =>
    name.endsWith('events.ts') && !/\/(rpc|commands|registry)\//.test(name);
  for (const file of sources.filter(isTable)) {
    for (const exported of Object.values(await load(file))) {
      for (const [type, definition] of Object.entries(eventTable.safeParse(exported).data ?? {})) {
        const before = found.get(type);
        if (before !== undefined && before.owner !== file)
          problems.push(`event ${type} stands in ${before.owner} and ${file}`);
        found.set(type, { ...definition, owner: file });
      }
    }
  }
  return found;
}

async function checkEvents(): Promise<void> {
  const found = await collectEvents();
  const types = [...found.keys()].sort();
  const rows = types.map(
    (type) =>
      `| \`${type}\` | ${escapeCell(found.get(type)?.description ?? '')} | [schema](events/${type}.schema.json) |`,
  );
  compare(
    'docs/events.md',
    `# Audit events\n\nOne JSON object each, on the topic and from \`gate audit\`. The envelope: \`id\`, \`type\`, \`time\`, \`cluster\`, \`sessionId\`,\n\`sequence\` (1..n within a session, without gaps), \`actor\`, \`target\`, \`outcome\` (success, failure, denied), \`reason\`,\n\`traceId\`, \`data\`. Written by \`tools/check-docs.ts --write\` from the tables in the code.\n\n| type | when | data |\n| --- | --- | --- |\n${rows.join('\n')}\n`,
  );
  compare(
    'services/audit-service/src/events/types.ts',
    `// Written by tools/check-docs.ts --write from the tables in the code.\n\n/** Every type of event that this release writes: see docs/events.md. */\nexport const eventTypes: ReadonlySet<string> = new Set([\n${types.map((type) => `  '${type}',\n`).join('')}]);\n`,
  );
  if (isWriting) mkdirSync(join(root, 'docs/events'), { recursive: true });
  for (const [type, { data }] of found) {
    const schema = {
      title: type,
      ...z.toJSONSchema(data, { io: 'output', unrepresentable: 'any' }),
    };
    compare(`docs/events/${type}.schema.json`, `${JSON.stringify(schema, undefined, 2)}\n`);
  }
  for (const file of globSync('docs/events/*.schema.json', { cwd: root })) {
    if (found.has(file.replace(/^docs\/events\/(.*)\.schema\.json$/, '$1'))) continue;
    if (isWriting) rmSync(join(root, file));
    else problems.push(`${file} belongs to no event`);
  }
}

function checkReadmes(): void {
  for (const manifest of globSync('{packages,packages/protocols,services,apps}/*/package.json', {
    cwd: root,
  })) {
    if (!existsSync(join(root, manifest, '../README.md')))
      problems.push(`${manifest} has no README.md beside it`);
  }
}

function checkExceptions(): void {
  for (const file of sources) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const [line] of text.matchAll(/oxlint-disable.*$/gm))
      if (!line.includes(' -- ')) problems.push(`${file}: "${line}" says not why`);
    if (/@ts-(ignore|nocheck)/.test(text)) problems.push(`${file}: types are switched off`);
  }
}

/** Every key of a service's configuration is explained in its example file. */
async function checkExamples(): Promise<void> {
  for (const file of globSync('services/*/src/config.ts', { cwd: root })) {
    const service = file.split('/')[1] ?? '';
    const example = `docs/config/${service}.example.yaml`;
    if (!existsSync(join(root, example))) {
      problems.push(`${example} is missing`);
      continue;
    }
    const text = readFileSync(join(root, example), 'utf8');
    for (const exported of Object.values(await load(file))) {
      if (!(exported instanceof z.ZodObject)) continue;
      for (const key of keysOf(z.toJSONSchema(exported, { io: 'input', unrepresentable: 'any' }))) {
        if (!new RegExp(`\\b${key}:`).test(text))
          problems.push(`${example} does not mention ${key}`);
      }
    }
  }
}

function keysOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const keys: string[] = [];
  const entries: [string, unknown][] = Object.entries(schema);
  for (const [name, value] of entries) {
    if (name === 'properties' && typeof value === 'object' && value !== null)
      keys.push(...Object.keys(value));
    if (typeof value === 'object') keys.push(...keysOf(value));
  }
  return keys.filter((key) => !['properties', 'additionalProperties'].includes(key));
}

mkdirSync(join(root, 'docs'), { recursive: true });
await checkErrors();
await checkEvents();
checkReadmes();
checkExceptions();
await checkExamples();
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
