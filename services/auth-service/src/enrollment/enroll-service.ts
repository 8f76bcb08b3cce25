/** A service's certificate on the join secret of its kind (D17): the secret proves both sides, nothing is trusted before. */
import { computeEnrollmentMac, isMacEqual, type ServiceKind } from '@gatehouse/identity';
import { isId } from '@gatehouse/kit/ids';
import { TrustBundle } from '@gatehouse/proto/auth/v1/trust';

import { recordDrafts } from '../audit/record-drafts.js';
import { issueServiceCertificate } from '../certificates/part-certificates.js';
import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import { unknownActor } from '../events.js';
import { refuseLocked } from '../users/person.js';

export interface ServiceEnrollment {
  readonly kind: string;
  readonly replicaId: string;
  readonly publicKey: Buffer;
  readonly dnsNames: readonly string[];
  readonly nonce: Buffer;
  readonly mac: Buffer;
  readonly clientAddress: string;
}

export interface ServiceEnrolled {
  readonly certificate: Buffer;
  readonly validUntil: Date;
  readonly trustEncoded: Buffer;
  readonly mac: Buffer;
}

const maxNames = 50;
const nonceBytes = 32;

/** @throws ENROLLMENT_INVALID, JOIN_SECRET_WRONG, KEY_REFUSED, PERSON_LOCKED (the replica) */
export async function enrollService(
  deps: Deps,
  request: ServiceEnrollment,
): Promise<ServiceEnrolled> {
  const { replicaId, publicKey, dnsNames, nonce } = request;
  const kind = requireKind(request.kind);
  const problem = findProblem(request);
  if (problem !== undefined) throw authError('ENROLLMENT_INVALID', { details: { why: problem } });
  const secret = deps.joinSecrets[kind];
  const texts = [kind, replicaId].map((text) => Buffer.from(text));
  const parts = [...texts, publicKey, ...dnsNames.map((name) => Buffer.from(name)), nonce];
  const expected = computeEnrollmentMac(secret, 'gatehouse-enroll-request-v1', parts);
  if (!isMacEqual(expected, request.mac)) {
    const actor = unknownActor(replicaId, request.clientAddress);
    await recordDrafts(deps, [
      {
        type: 'connection.refused',
        actor,
        outcome: 'denied',
        reason: 'join_secret',
        data: { message: `join secret of ${kind}` },
      },
    ]);
    throw authError('JOIN_SECRET_WRONG', { reason: 'join_secret' });
  }
  await refuseLocked(deps, { replica: replicaId });
  const issued = await issueServiceCertificate(deps, {
    kind,
    id: replicaId,
    publicKey,
    names: dnsNames,
  });
  const trustEncoded = Buffer.from(TrustBundle.encode(deps.authorities.trust().bundle).finish());
  const mac = computeEnrollmentMac(secret, 'gatehouse-enroll-reply-v1', [
    nonce,
    issued.certificate,
    trustEncoded,
  ]);
  await recordIssue(deps, {
    kind,
    replicaId,
    validUntil: issued.validUntil,
    clientAddress: request.clientAddress,
  });
  return { ...issued, trustEncoded, mac };
}

function requireKind(kind: string): Exclude<ServiceKind, 'auth'> {
  if (kind === 'proxy' || kind === 'tunnel' || kind === 'audit') return kind;
  throw authError('ENROLLMENT_INVALID', { details: { why: 'kind is proxy, tunnel or audit' } });
}

function findProblem({ replicaId, dnsNames, nonce }: ServiceEnrollment): string | undefined {
  if (!isId('srv', replicaId)) return 'replica_id is no srv_ id';
  if (dnsNames.length > maxNames) return 'too many names';
  if (dnsNames.some((name) => !/^[A-Za-z0-9_.:-]{1,253}$/.test(name)))
    return 'dns_names holds what is no name';
  return nonce.length === nonceBytes ? undefined : `the nonce has ${nonceBytes} bytes`;
}

async function recordIssue(
  deps: Deps,
  issue: { kind: string; replicaId: string; validUntil: Date; clientAddress: string },
): Promise<void> {
  const actor = { kind: 'service', name: issue.replicaId, address: issue.clientAddress };
  const data = {
    kinds: ['host_tls'],
    service: issue.kind,
    expires: issue.validUntil.toISOString(),
  };
  await deps.store.record(async (scope) => {
    scope.audit(
      deps.event({ type: 'certificate.issued', actor, outcome: 'success', data }, scope.now),
    );
  });
}
