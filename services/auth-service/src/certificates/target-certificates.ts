/**
 * Certificates with which a proxy logs in upstream for a person (D21). First time: the person's own certificate and
 * signature over the SSH session, each session once. Then, for that login, key and proxy, renewals without a new proof.
 */
import { createHash } from 'node:crypto';

import { issueSshCertificate, verifySshUserProof, type SshUserProof } from '@gatehouse/identity';
import {
  findLock,
  principalsFor,
  decideAccess,
  type Lock,
  type PolicyTarget,
} from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { labelsOf } from '../documents/render.js';
import { authError } from '../errors.js';
import { listDocuments } from '../store/documents.js';
import { findLogin } from '../store/logins.js';
import { findProxyLogin, noteProxyLogin, takeSessionId } from '../store/proofs.js';
import { loadLocks, resolvePerson, type Person } from '../users/person.js';
import { checkSshKey, createSerial } from './keys.js';
import { backdateMs, floorToSecond, sessionExtensions } from './person-certificates.js';

export interface TargetCertificateRequest {
  /** The proxy that asks, srv_…. */
  readonly replicaId: string;
  readonly publicKey: Buffer;
  /** Wanted login, empty: any. */
  readonly login: string;
  readonly clientAddress: string;
  readonly proof: SshUserProof | { readonly renewLoginId: string };
}

export interface TargetCertificate {
  readonly certificate: Buffer;
  readonly validUntil: Date;
  readonly logins: readonly string[];
}

/** @throws the refusals of verifySshUserProof; PROOF_USED, PROOF_MISSING, PERSON_LOCKED, LOGIN_ENDED, NO_LOGIN, KEY_REFUSED */
export async function issueTargetCertificate(
  deps: Deps,
  request: TargetCertificateRequest,
): Promise<TargetCertificate> {
  checkSshKey(deps.authorities, request.publicKey);
  const proven =
    'renewLoginId' in request.proof ? await findProven(deps, request) : await prove(deps, request);
  const { person, endsAtMs } = proven;
  const locks = await loadLocks(deps.store.database);
  const logins = await allowedLogins(deps, { person, locks, wanted: request.login });
  if (logins.length === 0)
    throw authError('NO_LOGIN', { reason: 'no_role', details: { user: person.name } });
  const validBeforeMs = floorToSecond(
    Math.min(endsAtMs, deps.clock.now() + deps.config.ttl.target_certificate),
  );
  const certificate = await issueSshCertificate({
    type: 'user',
    publicKey: request.publicKey,
    serial: createSerial(),
    keyId: `${person.name} ${person.login.id} ${request.replicaId}`,
    principals: logins,
    validAfterMs: floorToSecond(deps.clock.now() - backdateMs),
    validBeforeMs,
    extensions: sessionExtensions,
    signer: deps.authorities.sshSigner('target_ssh'),
  });
  await deps.store.record(async (scope) => {
    const data = {
      kinds: ['target_ssh'],
      expires: new Date(validBeforeMs).toISOString(),
      proxy: request.replicaId,
      renewed: 'renewLoginId' in request.proof,
    };
    scope.audit(
      deps.event(
        { type: 'certificate.issued', actor: person.actor, outcome: 'success', data },
        scope.now,
      ),
    );
  });
  return { certificate, validUntil: new Date(validBeforeMs), logins };
}

interface Proven {
  readonly person: Person;
  /** End of what the proof was made with. */
  readonly endsAtMs: number;
}

async function prove(deps: Deps, request: TargetCertificateRequest): Promise<Proven> {
  if ('renewLoginId' in request.proof) throw authError('PROOF_MISSING');
  const { clientAddress, proof, replicaId } = request;
  const verified = verifySshUserProof(proof, {
    authorities: deps.authorities.trust().userSsh,
    nowMs: deps.clock.now(),
    ...(clientAddress === '' ? {} : { clientAddress }),
  });
  const person = await resolvePerson(
    deps,
    verified.identity,
    clientAddress === '' ? undefined : clientAddress,
  );
  const expiresAt = new Date(verified.validBeforeMs);
  const sessionHash = createHash('sha256').update(verified.sshSessionId).digest();
  if (!(await takeSessionId(deps.store.database, sessionHash, expiresAt))) {
    throw authError('PROOF_USED', { reason: 'replayed' });
  }
  const entry = {
    loginId: person.login.id,
    replicaId,
    keyHash: hashKey(request.publicKey),
    user: person.name,
    expiresAt,
  };
  await noteProxyLogin(deps.store.database, entry);
  return { person, endsAtMs: verified.validBeforeMs };
}

async function findProven(deps: Deps, request: TargetCertificateRequest): Promise<Proven> {
  const loginId = 'renewLoginId' in request.proof ? request.proof.renewLoginId : '';
  const key = { loginId, replicaId: request.replicaId, keyHash: hashKey(request.publicKey) };
  const known = await findProxyLogin(deps.store.database, key);
  if (known === undefined || known.expiresAtMs <= deps.clock.now())
    throw authError('PROOF_MISSING');
  const person = await resolveLogin(deps, { loginId, user: known.user });
  return { person, endsAtMs: known.expiresAtMs };
}

/** A person by their login alone; roles are those of the login that they still have. */
async function resolveLogin(deps: Deps, known: { loginId: string; user: string }): Promise<Person> {
  const login = await findLogin(deps.store.database, known.loginId);
  if (login === undefined) throw authError('LOGIN_ENDED', { reason: 'logged_out' });
  const requests = login.requests.length === 0 ? {} : { requests: login.requests };
  return resolvePerson(deps, {
    v: 1,
    user: known.user,
    roles: login.roles,
    traits: login.traits,
    loginId: login.id,
    ...requests,
  });
}

function hashKey(blob: Buffer): Buffer {
  return createHash('sha256').update(blob).digest();
}

/** Most principals in one certificate; OpenSSH refuses more than 256. */
const maxLogins = 250;

/** Every login that the person may use on some node, and that no lock names. The wanted one also where it is a pattern's. */
async function allowedLogins(
  deps: Deps,
  options: { person: Person; locks: readonly Lock[]; wanted: string },
): Promise<string[]> {
  const { person, locks, wanted } = options;
  const nodes = await listDocuments(deps.store.database, { kinds: ['node'] });
  const targets = nodes.map((node): PolicyTarget => ({
    kind: 'node',
    name: node.name,
    labels: labelsOf(node),
  }));
  const { roles, traits } = person;
  const nowMs = deps.clock.now();
  const logins = new Set<string>();
  const isWanted = (target: PolicyTarget) =>
    decideAccess({ user: person.name, roles, traits, target, principal: wanted, locks: [], nowMs })
      .allowed;
  if (wanted !== '' && targets.some(isWanted)) logins.add(wanted);
  for (const target of targets) {
    for (const login of principalsFor({ roles, traits, target })) logins.add(login);
  }
  return [...logins]
    .filter((login) => findLock(locks, { login }, nowMs) === undefined)
    .slice(0, maxLogins);
}
