/** Messages and domain types: what several handlers decode and encode. */
import { loginsAnywhere, type Traits } from '@gatehouse/policy';
import type {
  DeepPartial,
  IssuedIdentity,
  SelfIdentity,
} from '@gatehouse/proto/auth/v1/login_service';

import type { PersonCertificates } from '../certificates/person-certificates.js';
import type { Context, Deps } from '../deps.js';
import { authError } from '../errors.js';
import type { StoredLogin } from '../store/logins.js';
import type { InviteLink } from '../users/invites.js';
import { loadRoles } from '../users/person.js';

/** Longer than any address with its port. */
const maxAddressChars = 128;

/** Where a request came from: only a proxy may speak for somebody else's address. */
export function addressOfRequest(
  request: { readonly clientAddress: string },
  context: Pick<Context, 'caller' | 'clientAddress'>,
): string {
  const isProxy = context.caller.type === 'service' && request.clientAddress !== '';
  return isProxy ? request.clientAddress.slice(0, maxAddressChars) : context.clientAddress;
}

const minTtlMs = 1_000;

/** Milliseconds of a Duration; undefined where there is none. @throws ENROLLMENT_INVALID for less than a second */
export function decodeTtl(ttl: { seconds: bigint; nanos: number } | undefined): number | undefined {
  if (ttl === undefined) return undefined;
  const ms = Number(ttl.seconds) * 1000 + Math.floor(ttl.nanos / 1_000_000);
  if (ms < minTtlMs)
    throw authError('ENROLLMENT_INVALID', { details: { why: 'ttl: less than a second' } });
  return ms;
}

/** What a person gets after a login or a reissue. */
export async function encodeIssued(
  deps: Deps,
  login: StoredLogin,
  certificates: PersonCertificates,
): Promise<DeepPartial<IssuedIdentity>> {
  const { ssh, tls, identity, validBeforeMs } = certificates;
  return {
    sshCertificate: ssh,
    tlsCertificate: tls,
    validUntil: new Date(validBeforeMs),
    trust: deps.authorities.trust().bundle,
    self: await encodeSelf(deps, login, identity),
  };
}

/** A person as the cluster knows them. `roles`: the effective ones; `traits`: today's. */
export async function encodeSelf(
  deps: Deps,
  login: StoredLogin,
  has: { readonly roles: readonly string[]; readonly traits: Traits },
): Promise<DeepPartial<SelfIdentity>> {
  const { roles } = has;
  const compiled = await loadRoles(deps, deps.store.database, roles);
  const traits: Record<string, { values: string[] }> = {};
  for (const [name, values] of Object.entries(has.traits)) traits[name] = { values: [...values] };
  return {
    user: login.user,
    roles: [...roles],
    traits,
    logins: loginsAnywhere(compiled, has.traits),
    mfaVerified: login.mfaAtMs !== undefined,
    activeRequests: [...login.requests],
    loginId: login.id,
    loginUntil: new Date(login.expiresAtMs),
  };
}

export function encodeLink(user: string, link: InviteLink) {
  return { user, token: link.token, expiresAt: link.expiresAt, inviteUrl: link.url };
}
