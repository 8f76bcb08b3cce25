/** A role: what it allows, what it denies, and the options it sets. */
import { z } from 'zod';

import { compileConditions, conditionsSchema, denySchema, type Conditions } from './conditions.js';
import { metadataSchema, parseDocument } from './document.js';
import { decodeRoleOptions, roleOptionsSchema, type RoleOptionSettings } from './role-options.js';

/** A checked role. Its conditions are compiled: nothing in it can fail later. */
export interface Role {
  readonly name: string;
  /** Only what the document sets. */
  readonly options: RoleOptionSettings;
  readonly allow: Conditions;
  readonly deny: Conditions;
}

const roleSchema = z.strictObject({
  kind: z.literal('role'),
  version: z.literal('v1'),
  metadata: metadataSchema,
  spec: z.strictObject({
    options: roleOptionsSchema.optional(),
    allow: conditionsSchema.optional(),
    deny: denySchema.optional(),
  }),
});

/** A role as it is written and stored. */
export type RoleDocument = z.input<typeof roleSchema>;

/**
 * Checks a role document.
 * @throws POLICY_INVALID with the path of every problem: unknown fields, bad patterns, bad durations
 */
export function parseRole(document: unknown): Role {
  const { metadata, spec } = parseDocument(roleSchema, document, 'role');
  return {
    name: metadata.name,
    options: decodeRoleOptions(spec.options ?? {}),
    allow: compileConditions(spec.allow ?? {}),
    deny: compileConditions(spec.deny ?? {}),
  };
}
