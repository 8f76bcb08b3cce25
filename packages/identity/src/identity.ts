/** The identity payload: the one structured value that SSH and X.509 certificates of a person carry (D15). */
import { pending } from './pending.js';

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

/** Reads a payload. @throws IDENTITY_INVALID with the reason `identity` */
export function parseIdentity(json: string): Identity {
  return pending();
}

/** The payload as JSON. @throws IDENTITY_INVALID when it would be refused by {@link parseIdentity} */
export function encodeIdentity(identity: Identity): string {
  return pending();
}

/** The roles of the payload that the user still has. */
export function effectiveRoles(identity: Identity, currentRoles: readonly string[]): string[] {
  const current = new Set(currentRoles);
  return identity.roles.filter((role) => current.has(role));
}
