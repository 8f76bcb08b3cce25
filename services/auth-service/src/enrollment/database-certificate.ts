/** A certificate by which an agent logs in to one of its own databases (D21). */
import { issueTlsCertificate } from '@gatehouse/identity';

import { recordDrafts } from '../audit/record-drafts.js';
import { checkTlsKey } from '../certificates/keys.js';
import { backdateMs, floorToSecond } from '../certificates/person-certificates.js';
import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import { requireServedTarget, type ServedTargetRequest } from './served-target.js';

export interface DatabaseCertificateRequest extends Omit<ServedTargetRequest, 'kind'> {
  readonly user: string;
  /** SPKI, DER. */
  readonly publicKey: Buffer;
}

const lifetimeMs = 3_600_000;
/** What a database takes for a user's name (NAMEDATALEN). */
const maxUserBytes = 63;

/**
 * Its subject is CN=<user>@<target>: one line of the database's own configuration ties it to the user.
 * @throws AGENT_REFUSED, NOT_YOURS, DATABASE_USER_INVALID, KEY_REFUSED, KEYS_SAME
 */
export async function issueDatabaseCertificate(
  deps: Deps,
  { user, publicKey, ...request }: DatabaseCertificateRequest,
): Promise<{ certificate: Buffer; validUntil: Date }> {
  const { name, agentName } = await requireServedTarget(deps, { ...request, kind: 'database' });
  if (!/^[^\p{C}@]+$/u.test(user) || Buffer.byteLength(user) > maxUserBytes)
    throw authError('DATABASE_USER_INVALID');
  const nowMs = deps.clock.now();
  const notAfterMs = floorToSecond(nowMs + lifetimeMs);
  const certificate = await issueTlsCertificate({
    authority: deps.authorities.tlsAuthority('db_client'),
    publicKeySpki: checkTlsKey(deps.authorities, publicKey),
    commonName: `${user}@${name}`,
    notBeforeMs: floorToSecond(nowMs - backdateMs),
    notAfterMs,
    usage: 'client',
  });
  const validUntil = new Date(notAfterMs);
  await recordDrafts(deps, [
    {
      type: 'certificate.issued',
      actor: { kind: 'agent', name: agentName, address: request.clientAddress },
      target: { kind: 'database', name },
      outcome: 'success',
      data: { kinds: ['db_client'], expires: validUntil.toISOString(), agent: agentName },
    },
  ]);
  return { certificate, validUntil };
}
