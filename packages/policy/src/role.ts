import type { RoleOptions } from './role-options.js';

/** A checked role. Its conditions are compiled: nothing in it can fail later. */
export interface Role {
  readonly name: string;
  /** Only what the document sets. */
  readonly options: Partial<RoleOptions>;
  readonly allow: object;
  readonly deny: object;
}

/** A role as it is written and stored. */
export interface RoleDocument {
  readonly kind: 'role';
  readonly version: 'v1';
  readonly metadata: Readonly<Record<string, unknown>> & { readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

/**
 * Checks a role document.
 * @throws POLICY_INVALID with the path of every problem: unknown fields, bad patterns, bad durations
 */
export function parseRole(document: unknown): Role {
  throw new Error(`not yet: ${typeof document}`);
}
