import { parseLock, parseRole, type AdministrationKind } from '@gatehouse/policy';
/** Kinds of documents: what their specs are. Adding one is a row here. */
import type { TargetType } from '@gatehouse/protocol-api';
import { targetTypes } from '@gatehouse/protocol-registry/targets';
import { z } from 'zod';

import { authError } from '../errors.js';
import type { JsonObject } from '../store/tables.js';

export const targetKinds = ['node', 'kube_cluster', 'database', 'app', 'desktop'] as const;
export type TargetDocumentKind = (typeof targetKinds)[number];

/** Kinds that `gate get`, `apply` and `delete` know. `agent` and `token` are made elsewhere: read and delete only. */
const knownKinds = [
  'user',
  'role',
  'lock',
  'cluster_auth_preference',
  ...targetKinds,
  'token',
  'agent',
] as const;
export type KnownKind = (typeof knownKinds)[number] & AdministrationKind;

export function isTargetKind(kind: string): kind is TargetDocumentKind {
  return targetKinds.some((known) => known === kind);
}

/** @throws KIND_UNKNOWN */
export function requireKind(kind: string): KnownKind {
  const found = knownKinds.find((known) => known === kind);
  if (found !== undefined) return found;
  throw authError('KIND_UNKNOWN', {
    details: { kind: kind.slice(0, 64), known: knownKinds.join(', ') },
  });
}

const labelKey = /^[\p{L}\p{N}][\p{L}\p{N}._/-]{0,62}$/u;

/** Labels of a target: up to 64, values up to 256 characters without control characters. */
export const labelsSchema = z
  .record(
    z.string().regex(labelKey, 'not a label name'),
    z
      .string()
      .max(256)
      .regex(/^[^\p{Cc}]*$/u, 'holds control characters'),
  )
  .refine((labels) => Object.keys(labels).length <= 64, 'more than 64 labels')
  .refine((labels) => !Object.hasOwn(labels, 'name'), '"name" is implicit and can\'t be set');

const traitValues = z.array(z.string().min(1).max(256)).max(256);

export const userSpecSchema = z.strictObject({
  roles: z.array(z.string().min(1).max(63)).max(64).default([]),
  traits: z
    .record(
      z.string().regex(/^[A-Za-z_][\w-]{0,62}$/, 'not a trait name'),
      z.union([
        z
          .string()
          .max(256)
          .transform((value) => [value]),
        traitValues,
      ]),
    )
    .default({}),
});

const preferenceSpecSchema = z.strictObject({
  /** required: everybody has a second factor; optional: who has one, uses it; off: nobody is asked. */
  second_factor: z.enum(['required', 'optional', 'off']).default('required'),
});

/** The protocol of a target and its spec, checked by the protocol's own schema. */
export interface TargetSpec {
  readonly protocol: string;
  readonly spec: JsonObject;
}

/**
 * @param given `protocol` where the document says it beside its spec
 * @throws DOCUMENT_INVALID
 */
export function parseTargetSpec(
  kind: TargetDocumentKind,
  spec: JsonObject,
  given: string | undefined,
): TargetSpec {
  const candidates = Object.values(targetTypes).filter((type) => type.kind === kind);
  const inside = spec['protocol'];
  const name =
    given ?? (typeof inside === 'string' ? inside : undefined) ?? soleProtocol(candidates);
  const type = candidates.find((one) => one.protocol === name);
  if (type === undefined) {
    const known = candidates.map((one) => one.protocol).join(', ');
    const problem =
      known === '' ? `kind: no protocol serves "${kind}"` : `spec.protocol: one of ${known}`;
    throw authError('DOCUMENT_INVALID', { details: { problems: problem } });
  }
  return { protocol: type.protocol, spec: parseSpec(type.spec, spec) };
}

function soleProtocol(candidates: readonly TargetType[]): string | undefined {
  return candidates.length === 1 ? candidates[0]?.protocol : undefined;
}

/** Checks a spec against a schema. @throws DOCUMENT_INVALID with the path of every problem */
function parseSpec<Schema extends z.ZodType>(schema: Schema, spec: unknown): JsonObject {
  const parsed = schema.safeParse(spec);
  if (!parsed.success) throw invalidDocument(parsed.error, 'spec');
  const value: unknown = parsed.data;
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** Every problem of a zod error with its path. */
export function invalidDocument(error: z.ZodError, prefix = ''): Error {
  const problems = error.issues.slice(0, 20).map((issue) => {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    return keys
      .map((key) => {
        const path = [prefix, ...issue.path.map(String), key].filter(
          (part) => part !== undefined && part !== '',
        );
        return `${path.join('.')}: ${key === undefined ? issue.message : 'unknown field'}`;
      })
      .join('; ');
  });
  return authError('DOCUMENT_INVALID', { details: { problems: problems.join('; ') } });
}

interface PlainDocument {
  readonly name: string;
  readonly metadata: JsonObject;
  readonly spec: unknown;
}

/** Specs of kinds that are no targets; roles and locks are the policy's. */
const plainSpecs: Readonly<Record<string, (document: PlainDocument) => JsonObject>> = {
  role: ({ name, metadata, spec }) => {
    const role = parseRole({ kind: 'role', version: 'v1', metadata: { name, ...metadata }, spec });
    // Not built yet; taken all the same, it would be a promise that the proxy sees nothing.
    if (role.options.sshSession === 'end_to_end') {
      const problems = 'spec.options.ssh_session: end_to_end is not available yet';
      throw authError('DOCUMENT_INVALID', { details: { problems } });
    }
    return asObject(spec);
  },
  lock: ({ name, metadata, spec }) => {
    const lock = parseLock({ kind: 'lock', version: 'v1', metadata: { name, ...metadata }, spec });
    // Devices have no ids yet that it could name: it would lock nothing.
    if (lock.target.mfaDevice !== undefined) {
      const problems = 'spec.target: mfa_device is not available yet';
      throw authError('DOCUMENT_INVALID', { details: { problems } });
    }
    return asObject(spec);
  },
  user: ({ spec }) => parseSpec(userSpecSchema, spec),
  cluster_auth_preference: ({ spec }) => parseSpec(preferenceSpecSchema, spec),
};

/** @throws DOCUMENT_INVALID, POLICY_INVALID, KIND_UNKNOWN for kinds that no document can be applied of */
export function parsePlainSpec(kind: KnownKind, document: PlainDocument): JsonObject {
  const parse = plainSpecs[kind];
  if (parse !== undefined) return parse(document);
  throw authError('KIND_UNKNOWN', { details: { kind, known: Object.keys(plainSpecs).join(', ') } });
}

function asObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
