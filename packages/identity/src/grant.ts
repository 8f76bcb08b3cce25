/**
 * Grants: what a proxy shows an agent with each dial (D20), a compact JWS (RFC 7515) signed with the proxy's service key;
 * its certificate stands in x5c. Only a proxy can make one, each works once, for one agent, for 30 s.
 */
import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';

import type { GatehouseError } from '@gatehouse/kit/errors';
import { z } from 'zod';

import { identityError, type RefusalReason } from './errors.js';
import { keyTypeOf, readPrivateKey, readSpki } from './keys.js';
import type { PartName } from './part-name.js';
import { parseStrictJson } from './strict-json.js';
import { verifyTlsCertificate } from './x509-verify.js';

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
  /** Rules for the agent's facet, for example of an end-to-end session. */
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface GrantSigner {
  readonly privateKeyPem: string;
  /** The proxy's host_tls certificate, DER. */
  readonly certificate: Buffer;
}

export interface GrantCheck {
  /** host_tls CA certificates, DER. */
  readonly hostAuthorities: readonly Buffer[];
  readonly nowMs: number;
  /** Who asks; a grant for another agent is refused. */
  readonly agentId: string;
  /**
   * True when `jti` was seen before; else it notes it. Asked last, so that only good grants are noted. A jti may be
   * forgotten at `forgetAtMs`.
   */
  isUsed(jti: string, forgetAtMs: number): boolean;
}

export interface VerifiedGrant {
  readonly grant: Grant;
  readonly issuer: PartName & { readonly type: 'service' };
}

const grantType = 'gatehouse-grant+jws';
const lifetimeMs = 30_000;
/** Clocks may differ by this much (D34). */
const skewMs = 120_000;
const maxJwsBytes = 64 * 1024;
const maxHeaderBytes = 32 * 1024;
const maxPayloadBytes = 16 * 1024;

const text = z.string().min(1).max(512);

const grantSchema = z.strictObject({
  v: z.literal(1),
  agent: text,
  session: text,
  target: text,
  protocol: text,
  principal: z.string().max(512),
  user: text,
  mode: z.enum(['inspected', 'relayed']),
  exp: z.int().positive(),
  jti: z.string().min(8).max(128),
  options: z.record(z.string(), z.unknown()).exactOptional(),
});

const headerSchema = z.strictObject({
  alg: z.enum(['ES256', 'EdDSA']),
  typ: z.literal(grantType),
  x5c: z.tuple([z.string().regex(/^[A-Za-z0-9+/]+={0,2}$/)]),
});

/** A compact JWS, ES256 or EdDSA by the kind of key. @throws GRANT_REFUSED for a grant that nobody would take, KEY_INVALID */
export async function signGrant(
  grant: Grant,
  { privateKeyPem, certificate }: GrantSigner,
): Promise<string> {
  const privateKey = readPrivateKey(privateKeyPem);
  const header = {
    alg: algorithmOf(createPublicKey(privateKey)),
    typ: grantType,
    x5c: [certificate.toString('base64')],
  };
  const checked = parseGrant(Buffer.from(JSON.stringify(grant)));
  const signingInput = `${encodeJson(header)}.${encodeJson(checked)}`;
  const hash = header.alg === 'ES256' ? 'sha256' : null;
  const signature = sign(hash, Buffer.from(signingInput), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
  });
  return `${signingInput}.${signature.toString('base64url')}`;
}

/**
 * Verifies a grant: the proxy's certificate (host_tls, kind service/proxy, 2 min of tolerance), signature, agent, time,
 * and that it is used once. Locks and the agent's own list of targets are the caller's.
 * @throws GRANT_REFUSED (reasons malformed, signature, expired, wrong_kind, replayed) and what verifyTlsCertificate throws
 */
export function verifyGrant(jws: string, check: GrantCheck): VerifiedGrant {
  const { header, payload, signingInput, signature } = splitJws(jws);
  const certificate = verifyTlsCertificate(Buffer.from(header.x5c[0], 'base64'), {
    authorities: check.hostAuthorities,
    nowMs: check.nowMs,
    toleranceMs: skewMs,
  });
  const issuer = requireProxy(certificate.part);
  const key = readSpki(certificate.spki);
  if (algorithmOf(key) !== header.alg || !isSigned({ key, signingInput, signature })) {
    throw refuseGrant('its signature does not fit', 'signature');
  }
  const grant = parseGrant(payload);
  checkGrant(grant, check);
  return { grant, issuer };
}

function checkGrant(grant: Grant, check: GrantCheck): void {
  const untilMs = grant.exp * 1000 + skewMs;
  if (grant.agent !== check.agentId) throw refuseGrant('it is for another agent', 'wrong_kind');
  if (check.nowMs >= untilMs) throw refuseGrant('it has expired', 'expired');
  if (grant.exp * 1000 > check.nowMs + lifetimeMs + skewMs)
    throw refuseGrant('it lives too long', 'malformed');
  if (check.isUsed(grant.jti, untilMs)) throw refuseGrant('it was used before', 'replayed');
}

function requireProxy(part: PartName | undefined): PartName & { readonly type: 'service' } {
  if (part?.type !== 'service' || part.kind !== 'proxy')
    throw refuseGrant('it is not by a proxy', 'wrong_kind');
  return part;
}

function isSigned(check: { key: KeyObject; signingInput: string; signature: Buffer }): boolean {
  const { key, signingInput, signature } = check;
  const hash = key.asymmetricKeyType === 'ec' ? 'sha256' : null;
  return verify(hash, Buffer.from(signingInput), { key, dsaEncoding: 'ieee-p1363' }, signature);
}

function algorithmOf(publicKey: KeyObject): 'ES256' | 'EdDSA' {
  const type = keyTypeOf(publicKey);
  if (type === 'rsa') throw refuseGrant('an RSA key signs no grants', 'signature');
  return type === 'p256' ? 'ES256' : 'EdDSA';
}

function splitJws(jws: string) {
  if (jws.length > maxJwsBytes) throw malformedGrant('is too long');
  const [header = '', payload = '', signature = '', ...others] = jws.split('.');
  if (others.length > 0) throw malformedGrant('is no JWS');
  return {
    header: parseHeader(decodePart(header)),
    payload: decodePart(payload),
    signingInput: `${header}.${payload}`,
    signature: decodePart(signature),
  };
}

function parseHeader(bytes: Buffer): z.infer<typeof headerSchema> {
  const parsed = headerSchema.safeParse(
    parseStrictJson(bytes.toString('utf8'), maxHeaderBytes, malformedGrant),
  );
  if (!parsed.success) throw malformedGrant('has no valid header');
  return parsed.data;
}

function parseGrant(bytes: Buffer): Grant {
  const parsed = grantSchema.safeParse(
    parseStrictJson(bytes.toString('utf8'), maxPayloadBytes, malformedGrant),
  );
  if (parsed.success) return parsed.data;
  throw malformedGrant(
    `has no valid ${parsed.error.issues[0]?.path.map(String).join('.') ?? 'form'}`,
  );
}

/** Base64url in its one canonical form: Node's decoder alone lets much else through. */
function decodePart(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url');
  if (bytes.toString('base64url') !== part) throw malformedGrant('is not base64url');
  return bytes;
}

function encodeJson(value: unknown): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
}

/** `why` completes "it …". */
function malformedGrant(why: string): GatehouseError {
  return refuseGrant(`it ${why}`, 'malformed');
}

function refuseGrant(why: string, reason: RefusalReason): GatehouseError {
  return identityError('GRANT_REFUSED', { details: { why }, reason });
}
