/** Grants: what a proxy shows an agent with each dial (D20). Compact JWS with x5c. */
import type { PartName } from './part-name.js';
import { pending } from './pending.js';

export interface Grant {
  readonly v: 1;
  /** agt_…, the agent that may act on it. */
  readonly agent: string;
  readonly session: string;
  readonly target: string;
  readonly protocol: string;
  readonly principal: string;
  readonly user: string;
  readonly mode: 'inspected' | 'relayed';
  /** Seconds since the epoch; at most 30 s ahead. */
  readonly exp: number;
  readonly jti: string;
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface GrantSigner {
  readonly privateKeyPem: string;
  /** The proxy's host_tls certificate, DER. */
  readonly certificate: Buffer;
}

/** A compact JWS, ES256 or EdDSA. @throws GRANT_REFUSED, KEY_INVALID */
export async function signGrant(grant: Grant, signer: GrantSigner): Promise<string> {
  return pending();
}

export interface GrantCheck {
  /** host_tls CA certificates, DER. */
  readonly hostAuthorities: readonly Buffer[];
  readonly nowMs: number;
  readonly agentId: string;
  /** True when `jti` was seen before; asked last. Keep a jti until `forgetAtMs`. */
  isUsed(jti: string, forgetAtMs: number): boolean;
}

export interface VerifiedGrant {
  readonly grant: Grant;
  readonly issuer: PartName & { readonly type: 'service' };
}

/** @throws GRANT_REFUSED (reasons expired, wrong_kind, signature, malformed, replayed) and what verifyTlsCertificate throws */
export function verifyGrant(jws: string, check: GrantCheck): VerifiedGrant {
  return pending();
}
