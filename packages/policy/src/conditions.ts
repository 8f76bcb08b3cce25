/** The blocks `allow` and `deny` of a role: their schema and their compiled form. */
import { z } from 'zod';

import {
  administrationKinds,
  administrationVerbs,
  type AdministrationRule,
} from './administration.js';
import { anyKey, type LabelSelector } from './labels.js';
import { isMatchAll, parsePattern, type Pattern } from './pattern.js';
import { PatternError } from './regex-syntax.js';
import { durationSchema } from './role-options.js';
import type { TargetKind } from './target.js';

/** Most entries of one list. */
const maxListLength = 200;

const patternSchema = z.string().transform((text, context): Pattern => {
  try {
    return parsePattern(text);
  } catch (thrown) {
    if (!(thrown instanceof PatternError)) throw thrown;
    context.addIssue({ code: 'custom', message: `"${text}": ${thrown.message}` });
    return z.NEVER;
  }
});

/** Names and patterns of principals and the like. */
const patternListSchema = z.array(z.string().min(1).pipe(patternSchema)).max(maxListLength);

/** `env: staging` is short for `env: [staging]`. */
const labelPatternsSchema = z.preprocess(
  (value) => (typeof value === 'string' ? [value] : value),
  z.array(patternSchema).max(maxListLength),
);

const labelsSchema = z
  .record(z.string().min(1).max(256), labelPatternsSchema)
  .transform((labels, context): LabelSelector => {
    const keys = Object.entries(labels).map(([key, patterns]) => ({ key, patterns }));
    for (const { key, patterns } of keys) {
      if (key === anyKey && !(patterns.length > 0 && patterns.every(isMatchAll))) {
        context.addIssue({
          code: 'custom',
          path: [key],
          message: 'the key * goes only with the value *',
        });
      }
      if (key !== anyKey && /[*{}]|^\^/.test(key)) {
        context.addIssue({
          code: 'custom',
          path: [key],
          message: 'a key is plain text, never a pattern',
        });
      }
    }
    return { keys };
  });

const ruleSchema = z.strictObject({
  kinds: z.array(z.enum([...administrationKinds, '*'])).min(1),
  verbs: z.array(z.enum([...administrationVerbs, '*'])).min(1),
});

const wordListSchema = z.array(z.string().regex(/^([a-z][a-z_]*|\*)$/)).max(maxListLength);

/** `schema.table`, either part with `*` for any text; as the database has the names, so lower case where nothing was quoted. */
const tableListSchema = z
  .array(
    z
      .string()
      .max(256)
      .regex(/^[^.]+\.[^.]+$/),
  )
  .max(maxListLength);

const kubernetesResourceSchema = z.strictObject({
  kind: z.string().min(1).pipe(patternSchema),
  namespace: z.string().min(1).pipe(patternSchema).optional(),
  name: z.string().min(1).pipe(patternSchema),
  verbs: wordListSchema.min(1),
});

const requestSchema = z.strictObject({
  roles: patternListSchema.min(1),
  thresholds: z
    .array(z.strictObject({ approve: z.int().min(1).max(100), deny: z.int().min(1).max(100) }))
    .max(20)
    .optional(),
  max_duration: durationSchema.optional(),
});

/** `spec.allow` and `spec.deny` of a role document. */
export const conditionsSchema = z.strictObject({
  logins: patternListSchema.optional(),
  node_labels: labelsSchema.optional(),
  kubernetes_groups: patternListSchema.optional(),
  kubernetes_labels: labelsSchema.optional(),
  kubernetes_resources: z.array(kubernetesResourceSchema).max(maxListLength).optional(),
  db_labels: labelsSchema.optional(),
  db_names: patternListSchema.optional(),
  db_users: patternListSchema.optional(),
  db_statements: wordListSchema.optional(),
  db_tables: tableListSchema.optional(),
  app_labels: labelsSchema.optional(),
  desktop_labels: labelsSchema.optional(),
  desktop_logins: patternListSchema.optional(),
  request: requestSchema.optional(),
  rules: z.array(ruleSchema).max(maxListLength).optional(),
});

type ConditionFields = z.output<typeof conditionsSchema>;

/** What a role says about one kind of target. */
interface KindConditions {
  readonly labels: LabelSelector | undefined;
  /** Logins, database users or desktop logins; always undefined for kinds without principals. */
  readonly principals: readonly Pattern[] | undefined;
  /** Names of databases; undefined for other kinds. */
  readonly names: readonly Pattern[] | undefined;
  /** Whether the block also names what is decided per request: statements, groups, resources. */
  readonly hasRequestFields: boolean;
}

/** What may be asked for with `gate request create`. */
interface RequestConditions {
  readonly roles: readonly Pattern[];
  readonly thresholds: readonly { readonly approve: number; readonly deny: number }[];
  readonly maxDurationMs: number | undefined;
}

/** A compiled block. */
export interface Conditions {
  readonly kinds: Readonly<Record<TargetKind, KindConditions>>;
  readonly kubernetesGroups: readonly Pattern[];
  readonly kubernetesResources: readonly z.output<typeof kubernetesResourceSchema>[];
  /** Undefined: the block says nothing of them. */
  readonly dbStatements: readonly string[] | undefined;
  readonly dbTables: readonly string[] | undefined;
  readonly request: RequestConditions | undefined;
  readonly rules: readonly AdministrationRule[];
}

/** A field of `deny` that is there but names nothing could be read as everything or as nothing: it must say which. */
export const denySchema = conditionsSchema.superRefine((fields, context) => {
  for (const [name, value] of Object.entries(fields)) {
    if (!isEmptyField(value)) continue;
    context.addIssue({
      code: 'custom',
      path: [name],
      message: "an empty field denies nothing; leave it out, or name everything with '*'",
    });
  }
});

function isEmptyField(value: ConditionFields[keyof ConditionFields]): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (value === undefined || !('keys' in value)) return false;
  return value.keys.length === 0 || value.keys.some((key) => key.patterns.length === 0);
}

/** The fields of a block, ordered by kind of target. */
export function compileConditions(fields: ConditionFields): Conditions {
  return {
    kinds: {
      node: forKind({ labels: fields.node_labels, principals: fields.logins }),
      kube_cluster: forKind({
        labels: fields.kubernetes_labels,
        requestFields: [fields.kubernetes_groups, fields.kubernetes_resources],
      }),
      database: forKind({
        labels: fields.db_labels,
        principals: fields.db_users,
        names: fields.db_names,
        requestFields: [fields.db_statements, fields.db_tables],
      }),
      app: forKind({ labels: fields.app_labels }),
      desktop: forKind({ labels: fields.desktop_labels, principals: fields.desktop_logins }),
    },
    kubernetesGroups: fields.kubernetes_groups ?? [],
    kubernetesResources: fields.kubernetes_resources ?? [],
    dbStatements: fields.db_statements,
    dbTables: fields.db_tables,
    request: fields.request && {
      roles: fields.request.roles,
      thresholds: fields.request.thresholds ?? [],
      maxDurationMs: fields.request.max_duration,
    },
    rules: fields.rules ?? [],
  };
}

function forKind(fields: {
  readonly labels: LabelSelector | undefined;
  readonly principals?: readonly Pattern[] | undefined;
  readonly names?: readonly Pattern[] | undefined;
  readonly requestFields?: readonly unknown[];
}): KindConditions {
  return {
    labels: fields.labels,
    principals: fields.principals,
    names: fields.names,
    hasRequestFields: (fields.requestFields ?? []).some((field) => field !== undefined),
  };
}
