/** The identity payload: the one structured value that SSH and X.509 certificates of a person carry (D15). */
import { isIP } from 'node:net';

import type { GatehouseError } from '@gatehouse/kit/errors';
import { z } from 'zod';

import { identityError } from './errors.js';
import { isUserName } from './part-name.js';
import { parseStrictJson } from './strict-json.js';

/** Where a routed certificate leads (databases). */
export interface Route {
  readonly kind: string;
  readonly name: string;
  readonly user?: string;
  readonly database?: string;
}

/** Who a person is, as a certificate says it. At most 16 KiB as JSON. */
export interface Identity {
  readonly v: 1;
  readonly user: string;
  /** Roles at issue; the effective ones are these that the user still has. */
  readonly roles: readonly string[];
  readonly traits: Readonly<Record<string, readonly string[]>>;
  /** lgn_…, the login all certificates of one `gate login` belong to. */
  readonly loginId: string;
  /** When the second factor was proven, RFC 3339. */
  readonly mfaAt?: string;
  /** The only address that may use the certificate. */
  readonly sourceIp?: string;
  readonly requests?: readonly string[];
  readonly route?: Route;
}

const maxPayloadBytes = 16 * 1024;

const name = z.string().min(1).max(256);

/** Optional keys of later versions are let through and dropped; a known key with an odd value is an error. */
const identitySchema = z.object({
  v: z.literal(1),
  user: z.string().refine(isUserName),
  roles: z.array(name),
  traits: z.record(z.string(), z.array(z.string())),
  loginId: name,
  mfaAt: z.iso.datetime({ offset: true }).exactOptional(),
  sourceIp: z
    .string()
    .refine((text) => isIP(text) !== 0)
    .exactOptional(),
  requests: z.array(name).exactOptional(),
  route: z
    .object({ kind: name, name, user: name.exactOptional(), database: name.exactOptional() })
    .exactOptional(),
});

/**
 * Reads a payload of at most 16 KiB: broken JSON, a key that stands twice, an unknown `v` and a known key with a wrong
 * value are refused; unknown optional keys are not.
 * @throws IDENTITY_INVALID with the reason `identity`
 */
export function parseIdentity(json: string): Identity {
  const parsed = identitySchema.safeParse(parseStrictJson(json, maxPayloadBytes, identityFailure));
  if (!parsed.success) throw identityFailure(describe(parsed.error));
  return parsed.data;
}

/** The payload as JSON. @throws IDENTITY_INVALID when {@link parseIdentity} would refuse it */
export function encodeIdentity(identity: Identity): string {
  const json = JSON.stringify(identity);
  parseIdentity(json);
  return json;
}

/** The roles of the payload that the user still has. */
export function effectiveRoles(identity: Identity, currentRoles: readonly string[]): string[] {
  const current = new Set(currentRoles);
  return identity.roles.filter((role) => current.has(role));
}

function describe(error: z.ZodError): string {
  const path = error.issues[0]?.path.map(String).join('.') ?? '';
  if (path === 'v') return 'has an unknown version';
  return path === '' ? 'is not an object' : `has no valid ${path}`;
}

/** The refusal of a certificate because of its payload; `why` completes "its identity payload …". */
export function identityFailure(why: string): GatehouseError {
  return identityError('IDENTITY_INVALID', { details: { why }, reason: 'identity' });
}
