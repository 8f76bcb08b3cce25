/**
 * Logging in with password and code. Whatever is wrong, the answer and the work are the same (LOG-01); only the audit
 * event tells the cause.
 */
import { toGatehouseError } from '@gatehouse/kit/errors';
import type { AuditActor } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { foldName, loginOptions, type Role } from '@gatehouse/policy';

import { recordDrafts } from '../audit/record-drafts.js';
import {
  issuePersonCertificates,
  type PersonCertificates,
} from '../certificates/person-certificates.js';
import type { Deps } from '../deps.js';
import { userSpecOf, validAfterOf } from '../documents/render.js';
import { authError } from '../errors.js';
import { unknownActor, type EventDraft } from '../events.js';
import { findCredential, takeTotpStep, type StoredCredential } from '../store/credentials.js';
import { findDocument, type StoredDocument } from '../store/documents.js';
import { insertLogin, type StoredLogin } from '../store/logins.js';
import type { Db } from '../store/store.js';
import {
  countLoginFailure,
  forgetFailures,
  isBlocked,
  refuseSlowedAddress,
  userKey,
} from './lockout.js';
import { maxPasswordBytes } from './passwords.js';
import { ipOf, loadRoles, refuseLocked, refuseUnreadable } from './person.js';
import { readSecondFactorRule } from './preference.js';
import { openTotpSecret } from './second-factor.js';
import { findTotpStep } from './totp.js';

export interface LoginRequest {
  readonly user: string;
  readonly password: string;
  readonly otp: string;
  readonly sshPublicKey: Buffer;
  readonly tlsPublicKey: Buffer;
  /** Undefined: as long as the roles allow. */
  readonly ttlMs: number | undefined;
  readonly clientAddress: string;
}

export interface LoginResult {
  readonly login: StoredLogin;
  readonly certificates: PersonCertificates;
}

type FailureReason = 'unknown_user' | 'bad_password' | 'bad_code' | 'code_replayed' | 'blocked';

/** @throws LOGIN_FAILED, LOGIN_SLOWED, LOGIN_BUSY, PERSON_LOCKED, ROLE_UNREADABLE, KEY_REFUSED */
export async function logIn(deps: Deps, request: LoginRequest): Promise<LoginResult> {
  await refuseSlowedAddress(deps, request.clientAddress);
  const folded = foldName(request.user.slice(0, 256));
  return deps.loginTurns.run(folded, async () => checkAndLogIn(deps, request, folded));
}

async function checkAndLogIn(
  deps: Deps,
  request: LoginRequest,
  folded: string,
): Promise<LoginResult> {
  const document = await findDocument(deps.store.database, 'user', folded);
  const credential = await findCredential(deps.store.database, document?.name ?? '');
  const key = userKey(folded, document !== undefined);
  const blocked = await isBlocked(deps, key);
  const outcome = await checkFactors(deps, { request, document, credential });
  if (blocked) return fail(deps, { request, key, document, reason: 'blocked' });
  if (typeof outcome === 'string') return fail(deps, { request, key, document, reason: outcome });
  const result = await openLogin(deps, { request, credential, ...outcome });
  if (result === undefined) return fail(deps, { request, key, document, reason: 'bad_password' });
  await forgetFailures(deps, key);
  return result;
}

interface Checked {
  readonly document: StoredDocument;
  /** The step of the code that was right; undefined where none is asked for. */
  readonly step: number | undefined;
}

/** Compares everything, always: an unknown name costs what a known one costs. */
async function checkFactors(
  deps: Deps,
  known: {
    request: LoginRequest;
    document: StoredDocument | undefined;
    credential: StoredCredential | undefined;
  },
): Promise<Checked | FailureReason> {
  const { request, document, credential } = known;
  const rule = await readSecondFactorRule(deps.store.database);
  const password = Buffer.byteLength(request.password) <= maxPasswordBytes ? request.password : '';
  const isPasswordRight = await deps.passwords.verify(credential?.passwordHash, password);
  const secret = openTotpSecret(deps, credential);
  const step = findTotpStep(secret ?? decoySecret, request.otp, deps.clock.now());
  if (document === undefined) return 'unknown_user';
  if (!isPasswordRight) return 'bad_password';
  const isCodeNeeded = rule === 'required' || (rule === 'optional' && secret !== undefined);
  if (!isCodeNeeded) return { document, step: undefined };
  return secret === undefined ? 'bad_code' : takeStep(deps, document, step);
}

async function takeStep(
  deps: Deps,
  document: StoredDocument,
  step: number | undefined,
): Promise<Checked | FailureReason> {
  if (step === undefined) return 'bad_code';
  const isTaken = await takeTotpStep(deps.store.database, document.name, step);
  return isTaken ? { document, step } : 'code_replayed';
}

const decoySecret = Buffer.alloc(20, 7);

async function fail(
  deps: Deps,
  failure: {
    request: LoginRequest;
    key: string;
    document: StoredDocument | undefined;
    reason: FailureReason;
  },
): Promise<never> {
  const { request, key, document, reason } = failure;
  const { clientAddress } = request;
  const actor =
    document === undefined
      ? unknownActor(request.user, clientAddress)
      : { kind: 'user', name: document.name, address: clientAddress };
  const drafts: EventDraft[] = [{ type: 'login.failed', actor, outcome: 'failure', reason }];
  if (reason === 'bad_code' || reason === 'code_replayed') {
    drafts.push({ type: 'mfa.failed', actor, outcome: 'failure', reason });
  }
  if (reason !== 'blocked') {
    const count = await countLoginFailure(deps, key, clientAddress);
    if (count.blockedUntil !== undefined) {
      const data = { subject: 'user', until: count.blockedUntil.toISOString() };
      drafts.push({ type: 'login.blocked', actor, outcome: 'denied', data });
    }
    if (count.isAddressSlowed) {
      const data = { subject: 'address', address: ipOf(clientAddress) };
      drafts.push({
        type: 'login.blocked',
        actor: unknownActor('', clientAddress),
        outcome: 'denied',
        data,
      });
    }
  }
  await recordDrafts(deps, drafts);
  throw authError('LOGIN_FAILED', { reason });
}

/** Undefined where what was checked no longer holds: checking takes time, and the person was reset or deleted in it. */
async function openLogin(
  deps: Deps,
  right: Checked & { request: LoginRequest; credential: StoredCredential | undefined },
): Promise<LoginResult | undefined> {
  const { request, document, credential, step } = right;
  const { clientAddress } = request;
  const spec = userSpecOf(document);
  const actor = { kind: 'user', name: document.name, roles: spec.roles, address: clientAddress };
  const roles = await rolesAtLogin(deps, document, actor);
  const login = planLogin(deps, roles, right);
  const certificates = await issuePersonCertificates(deps, {
    login,
    sshPublicKey: request.sshPublicKey,
    tlsPublicKey: request.tlsPublicKey,
    roles: login.roles,
    validBeforeMs: login.expiresAtMs,
  });
  // Under the lock of changes: a reset or deletion has either been seen here or ends this login.
  const isOpen = await deps.store.change(async (scope) => {
    if (!(await holdsStill(scope.tx, document, credential))) return false;
    await insertLogin(scope.tx, login);
    const expires = new Date(certificates.validBeforeMs).toISOString();
    const secondFactor = step === undefined ? 'none' : 'totp';
    const who = { actor: { ...actor, loginId: login.id }, outcome: 'success' as const };
    scope.audit(
      deps.event({ ...who, type: 'login.succeeded', data: { expires, secondFactor } }, scope.now),
    );
    if (step !== undefined)
      scope.audit(deps.event({ ...who, type: 'mfa.verified', data: { secondFactor } }, scope.now));
    scope.audit(
      deps.event(
        { ...who, type: 'certificate.issued', data: { kinds: ['user_ssh', 'user_tls'], expires } },
        scope.now,
      ),
    );
    return true;
  });
  return isOpen ? { login, certificates } : undefined;
}

/** True where the person is the same, and so are the factors that were compared. */
async function holdsStill(
  db: Db,
  document: StoredDocument,
  credential: StoredCredential | undefined,
): Promise<boolean> {
  const person = await findDocument(db, 'user', document.folded);
  const current = await findCredential(db, document.name);
  const secretOf = (stored: StoredCredential | undefined) => stored?.totpSecret?.toString('base64');
  return (
    person?.name === document.name &&
    validAfterOf(person) === validAfterOf(document) &&
    current?.passwordHash === credential?.passwordHash &&
    secretOf(current) === secretOf(credential)
  );
}

/** The roles of a person whom nothing keeps out; a refusal is an event. @throws PERSON_LOCKED, ROLE_UNREADABLE */
async function rolesAtLogin(
  deps: Deps,
  document: StoredDocument,
  actor: AuditActor,
): Promise<readonly Role[]> {
  const { roles: names } = userSpecOf(document);
  try {
    const locks = await refuseLocked(deps, { user: document.name, roles: names });
    const roles = await loadRoles(deps, deps.store.database, names);
    refuseUnreadable(locks, roles);
    return roles;
  } catch (thrown) {
    const { kind, reason = 'locked' } = toGatehouseError(thrown);
    if (kind !== 'internal')
      await recordDrafts(deps, [{ type: 'login.failed', actor, outcome: 'denied', reason }]);
    throw thrown;
  }
}

/** Never longer than asked for, than any role allows, than the configuration says (CRT-03). */
function planLogin(
  deps: Deps,
  roles: readonly Role[],
  right: Checked & { request: LoginRequest },
): StoredLogin {
  const { request, document, step } = right;
  const spec = userSpecOf(document);
  const options = loginOptions(roles);
  const nowMs = deps.clock.now();
  const ttlMs = Math.min(request.ttlMs ?? Infinity, options.maxSessionTtlMs, deps.config.ttl.login);
  return {
    id: createId('lgn', nowMs),
    user: document.name,
    roles: roles.map((role) => role.name),
    traits: spec.traits,
    requests: [],
    mfaAtMs: step === undefined ? undefined : nowMs,
    sourceIp: options.pinSourceIp ? ipOf(request.clientAddress) : undefined,
    createdAtMs: nowMs,
    expiresAtMs: Math.floor((nowMs + ttlMs) / 1000) * 1000,
    ended: undefined,
  };
}
