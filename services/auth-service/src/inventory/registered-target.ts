/** A target in the words of its agent, and as the document that it becomes. */
import { canonicalJson } from '../documents/canonical-json.js';
import { trustFields } from '../documents/check-change.js';
import { isTargetKind, labelsSchema, parseTargetSpec } from '../documents/kinds.js';
import { findNameProblem } from '../documents/names.js';
import type { StoredAgent } from '../store/agents.js';
import type { JsonObject } from '../store/tables.js';

export interface RegisteredTarget {
  readonly kind: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly protocol: string;
  readonly specJson: string;
}

/** The document that a registration makes, or undefined where it is not valid. */
export function parseTarget(agent: StoredAgent, target: RegisteredTarget): JsonObject | undefined {
  if (!isTargetKind(target.kind) || findNameProblem(target.name) !== undefined) return undefined;
  const labels = labelsSchema.safeParse({ ...target.labels, ...agent.labels });
  if (!labels.success) return undefined;
  try {
    const value: unknown = JSON.parse(target.specJson === '' ? '{}' : target.specJson);
    if (typeof value !== 'object' || value === null || target.specJson.includes('\\u0000'))
      return undefined;
    const { protocol, spec } = parseTargetSpec(
      target.kind,
      { ...value },
      target.protocol === '' ? undefined : target.protocol,
    );
    return { metadata: { labels: labels.data }, protocol, agent: agent.group, spec };
  } catch {
    return undefined;
  }
}

function trustOf(body: JsonObject): JsonObject {
  const spec = objectOf(body['spec']);
  return Object.fromEntries(trustFields.map((field) => [field, spec[field]]));
}

/** Both say the same of which host to trust. */
export function isSameTrust(a: JsonObject, b: JsonObject): boolean {
  return canonicalJson(trustOf(a)) === canonicalJson(trustOf(b));
}

/** `next` with what `old` says of which host to trust. */
export function keepTrust(old: JsonObject, next: JsonObject): JsonObject {
  return { ...next, spec: { ...objectOf(next['spec']), ...trustOf(old) } };
}

function objectOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
