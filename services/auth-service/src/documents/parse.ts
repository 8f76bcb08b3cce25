/** A document as it comes from outside, checked in form; what it means for the cluster is checked when it is applied. */
import { foldName } from '@gatehouse/policy';
import { z } from 'zod';

import { authError } from '../errors.js';
import type { JsonObject } from '../store/tables.js';
import { preferenceName } from '../users/preference.js';
import {
  invalidDocument,
  isTargetKind,
  labelsSchema,
  parsePlainSpec,
  parseTargetSpec,
  requireKind,
  type KnownKind,
} from './kinds.js';
import { findNameProblem } from './names.js';

export interface ParsedDocument {
  readonly kind: KnownKind;
  readonly name: string;
  readonly folded: string;
  /** The revision that it was made from; undefined: any. */
  readonly revision: number | undefined;
  /** `{metadata, spec, protocol?}`; without revision and without what the service itself keeps. */
  readonly body: JsonObject;
  /** Of targets: the agent as the document names it. */
  readonly agent: string | undefined;
}

const maxBytes = 256 * 1024;
/** Every service keeps all locks and tells agents of them again and again. Room for the longest names in escapes. */
const maxLockBytes = 16 * 1024;
const maxDepth = 32;

const envelopeSchema = z.strictObject({
  kind: z.string(),
  version: z.literal('v1'),
  metadata: z.strictObject({
    name: z.string(),
    labels: z.record(z.string(), z.string()).optional(),
    description: z.string().max(1024).optional(),
    revision: z
      .union([
        z.int(),
        z
          .string()
          .regex(/^\d{1,15}$/)
          .transform(Number),
      ])
      .optional(),
    created_at: z.string().max(64).optional(),
    updated_at: z.string().max(64).optional(),
  }),
  spec: z.record(z.string(), z.unknown()),
  protocol: z.string().optional(),
  agent: z.string().optional(),
  /** What the service keeps with a document; shown, and taken no notice of. */
  state: z.unknown().optional(),
});

/** @throws DOCUMENT_INVALID, POLICY_INVALID, KIND_UNKNOWN with paths */
export function parseDocument(json: string): ParsedDocument {
  const parsed = envelopeSchema.safeParse(parseJson(json));
  if (!parsed.success) throw invalidDocument(parsed.error);
  const { data } = parsed;
  const kind = requireApplicable(data.kind);
  if (kind === 'lock') checkSize(json, maxLockBytes);
  const name = kind === 'cluster_auth_preference' ? preferenceName : data.metadata.name;
  const problem = findNameProblem(name, kind === 'user' ? 'user' : 'other');
  if (problem !== undefined) throw invalid(`metadata.name: ${problem}`);
  const metadata = parseMetadata(data.metadata);
  const identity = { kind, name, folded: foldName(name), revision: data.metadata.revision };
  if (!isTargetKind(kind)) {
    const spec = parsePlainSpec(kind, { name, metadata, spec: data.spec });
    return { ...identity, body: { metadata, spec }, agent: undefined };
  }
  const { agent, ...rest } = data.spec;
  const { protocol, spec } = parseTargetSpec(kind, rest, data.protocol);
  const named = typeof agent === 'string' ? agent : data.agent;
  return { ...identity, body: { metadata, protocol, spec }, agent: named };
}

function requireApplicable(text: string): KnownKind {
  const kind = requireKind(text);
  if (kind === 'token') throw invalid('kind: tokens are made by gate tokens add');
  if (kind === 'agent') throw invalid('kind: agents join by themselves');
  return kind;
}

function parseMetadata(metadata: z.output<typeof envelopeSchema>['metadata']): JsonObject {
  const labels = parseLabels(metadata.labels);
  return {
    ...(labels === undefined ? {} : { labels }),
    ...(metadata.description === undefined ? {} : { description: metadata.description }),
  };
}

function parseLabels(labels: Readonly<Record<string, string>> | undefined): JsonObject | undefined {
  if (labels === undefined) return undefined;
  const parsed = labelsSchema.safeParse(labels);
  if (!parsed.success) throw invalidDocument(parsed.error, 'metadata.labels');
  return parsed.data;
}

function parseJson(json: string): unknown {
  checkSize(json, maxBytes);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (thrown) {
    throw authError('DOCUMENT_INVALID', { cause: thrown, details: { problems: 'not JSON' } });
  }
  checkTexts(value, []);
  return value;
}

function checkSize(json: string, limit: number): void {
  if (Buffer.byteLength(json) > limit) throw invalid(`longer than ${limit} bytes`);
}

/** What the database and other readers could not keep: NUL, broken text, the key `__proto__`, endless nesting. */
function checkTexts(value: unknown, path: readonly string[]): void {
  if (path.length > maxDepth) throw invalid(`${path.slice(0, 3).join('.')}…: nested too deep`);
  if (typeof value === 'string') {
    if (value.includes('\0') || !value.isWellFormed())
      throw invalid(`${path.join('.')}: holds NUL or broken text`);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const next = [...path, key];
    if (key === '__proto__') throw invalid(`${next.join('.')}: not allowed`);
    checkTexts(key, path);
    checkTexts(inner, next);
  }
}

function invalid(problems: string): Error {
  return authError('DOCUMENT_INVALID', { details: { problems } });
}
