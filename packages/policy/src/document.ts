/** What role and lock documents have in common. */
import { z } from 'zod';

import { policyError } from './errors.js';

/** Names of roles and locks. */
const nameSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    'a name has 1 to 63 letters, digits, dots, dashes and underscores',
  );

/** `metadata` of roles and locks; revision and times are written by the store. */
export const metadataSchema = z.strictObject({
  name: nameSchema,
  description: z.string().max(1024).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  revision: z.union([z.string(), z.number()]).optional(),
  created_at: z.string().optional(),
  updated_at: z.string().optional(),
});

/** Deepest nesting of a document. */
const maxDepth = 16;

/**
 * Checks a document against its schema.
 * @throws POLICY_INVALID that names the path of every problem
 */
export function parseDocument<Schema extends z.ZodType>(
  schema: Schema,
  document: unknown,
  kind: string,
): z.output<Schema> {
  const hidden = findHiddenKey(document, []);
  if (hidden !== undefined) throw invalid(kind, [`${hidden}: not allowed`]);
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  throw invalid(kind, result.error.issues.map(describeIssue));
}

function invalid(kind: string, problems: readonly string[]): Error {
  return policyError('POLICY_INVALID', {
    details: { kind, problems: problems.slice(0, 20).join('; ') },
  });
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = formatPath(issue.path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${formatPath([...issue.path, key])}: unknown field`).join('; ');
  }
  return path === '' ? issue.message : `${path}: ${issue.message}`;
}

function formatPath(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) =>
      typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`,
    )
    .join('');
}

/** Schemas pass over the key `__proto__`; as a label's key it would silently be no restriction. */
function findHiddenKey(value: unknown, path: readonly string[]): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (path.length > maxDepth) return path.join('.');
  for (const key of Object.keys(value)) {
    if (key === '__proto__') return [...path, key].join('.');
    const found = findHiddenKey(Reflect.get(value, key), [...path, key]);
    if (found !== undefined) return found;
  }
  return undefined;
}
