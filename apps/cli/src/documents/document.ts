/** Documents as people write them and services send them (architecture.md §4). */
import { Document as YamlDocument, parseAllDocuments, Scalar as YamlScalar, visit } from 'yaml';
import { z } from 'zod';

import { usageError } from '../errors.js';
import { escapeControls, hasControls } from '../output/text.js';

/** Largest file of documents, UTF-16 units, and most documents in it. */
const maxFileLength = 4 << 20;
const maxDocuments = 500;

const documentSchema = z.looseObject({
  kind: z.string().min(1),
  version: z.string().optional(),
  metadata: z.looseObject({
    name: z.string().min(1),
    revision: z.union([z.string(), z.number()]).optional(),
  }),
});

/** A document; only what every kind has is known here. */
export type Document = z.output<typeof documentSchema>;

/** A document that a service sent. */
export function parseDocument(json: string): Document {
  return inOrder(documentSchema.parse(JSON.parse(json)));
}

/** Fields in the order in which people write them; a store keeps none. */
function inOrder(document: Document): Document {
  const { kind, version, metadata, ...rest } = document;
  const { name, ...others } = metadata;
  return { kind, version, metadata: { name, ...others }, ...rest };
}

/** `role/dev` */
export function documentName(document: Document): string {
  return `${document.kind}/${document.metadata.name}`;
}

/** Reads YAML (or JSON, which is YAML) with one document or several. @throws USAGE with line and column */
export function parseDocumentFile(text: string, where: string): readonly Document[] {
  if (text.length > maxFileLength) throw usageError(`${where} is too large`);
  const values = parseAllDocuments(text, { uniqueKeys: true }).map((document) => {
    const [problem] = document.errors;
    if (problem !== undefined)
      throw usageError(`${where}: ${problem.message.split('\n')[0] ?? ''}`);
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return value;
  });
  const documents = values
    .filter((value) => value !== null && value !== undefined)
    .map((value, index) => decode(value, `${where}, document ${index + 1}`));
  if (documents.length === 0) throw usageError(`${where} holds no document`);
  if (documents.length > maxDocuments)
    throw usageError(`${where} holds more than ${maxDocuments} documents`);
  return documents;
}

function decode(value: unknown, where: string): Document {
  const result = documentSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw usageError(
    `${where}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a document'}`,
  );
}

/** YAML for people. */
export function formatDocument(document: Document): string {
  const tree = new YamlDocument(document);
  visit(tree, {
    Scalar(_key, scalar) {
      if (typeof scalar.value === 'string' && hasControls(scalar.value))
        scalar.type = YamlScalar.QUOTE_DOUBLE;
    },
  });
  return escapeControls(tree.toString({ lineWidth: 100 }));
}

/** Kinds as people may write them: the singular, the plural, with dashes. */
export function toKind(word: string): string {
  const kind = word.toLowerCase().replaceAll('-', '_');
  return kind.length > 3 && kind.endsWith('s') && !kind.endsWith('ss') ? kind.slice(0, -1) : kind;
}

/** `KIND/NAME` or `KIND`. @throws USAGE */
export function parseReference(text: string): { kind: string; name: string | undefined } {
  const index = text.indexOf('/');
  const kind = toKind(index < 0 ? text : text.slice(0, index));
  const name = index < 0 ? undefined : text.slice(index + 1);
  if (kind === '' || name === '') throw usageError(`"${text}" is not KIND/NAME`);
  return { kind, name };
}

/** `KIND/NAME`, both. @throws USAGE */
export function parseFullReference(text: string): { kind: string; name: string } {
  const { kind, name } = parseReference(text);
  if (name === undefined) throw usageError(`"${text}" is not KIND/NAME`);
  return { kind, name };
}
