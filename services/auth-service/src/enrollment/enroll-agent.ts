/** How an agent joins: a one-use token, a name, a key (TUN-01). One text for every token that is not taken. */
import { createHash } from 'node:crypto';

import { createId, type Id } from '@gatehouse/kit/ids';
import { foldName } from '@gatehouse/policy';

import { recordDrafts } from '../audit/record-drafts.js';
import { checkTlsKey } from '../certificates/keys.js';
import {
  issueAgentCertificate,
  type IssuedCertificate,
} from '../certificates/part-certificates.js';
import type { Deps } from '../deps.js';
import { findNameProblem } from '../documents/names.js';
import { authError } from '../errors.js';
import { unknownActor } from '../events.js';
import { clearGroup, isGroupFree } from '../inventory/groups.js';
import { holdNamesMs } from '../inventory/write-targets.js';
import { findAgentByName, insertAgent, removeAgent, setAgentGeneration } from '../store/agents.js';
import { findJoinToken, takeJoinToken, type StoredJoinToken } from '../store/join-tokens.js';
import type { ChangeScope } from '../store/store.js';
import { countLoginFailure, refuseSlowedAddress } from '../users/lockout.js';
import { hashToken, isTokenShape } from '../users/tokens.js';
import { agentBody } from '../watch/watch.js';
import { checkGeneration } from './generation.js';

export interface AgentEnrollment {
  readonly token: string;
  readonly name: string;
  readonly publicKey: Buffer;
  /** Empty: the token's, else none. */
  readonly group: string;
  readonly clientAddress: string;
}

export interface AgentEnrolled extends IssuedCertificate {
  readonly agentId: string;
  readonly group: string;
}

type TokenFault = 'forged' | 'wrong_kind' | 'used' | 'expired';

/** @throws JOIN_TOKEN_INVALID, AGENT_NAME_TAKEN, AGENT_GROUP, ENROLLMENT_INVALID, KEY_REFUSED, LOGIN_SLOWED */
export async function enrollAgent(deps: Deps, request: AgentEnrollment): Promise<AgentEnrolled> {
  await refuseSlowedAddress(deps, request.clientAddress);
  const token = await requireToken(deps, request);
  const problem = findNameProblem(request.name);
  if (problem !== undefined)
    throw authError('ENROLLMENT_INVALID', { details: { why: `name: ${problem}` } });
  checkTlsKey(deps.authorities, request.publicKey);
  const id = createId('agt', deps.clock.now());
  const issued = await issueAgentCertificate(deps, { id, publicKey: request.publicKey });
  try {
    return await deps.store.change(async (scope) =>
      admit(deps, scope, { request, token, id, issued }),
    );
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && isJoinRefusal(thrown.code)) {
      await refuse(deps, request, 'reason' in thrown ? String(thrown.reason) : 'refused');
    }
    throw thrown;
  }
}

function isJoinRefusal(code: unknown): boolean {
  return code === 'AGENT_NAME_TAKEN' || code === 'AGENT_GROUP' || code === 'JOIN_TOKEN_INVALID';
}

async function requireToken(deps: Deps, request: AgentEnrollment): Promise<StoredJoinToken> {
  const { token } = request;
  const found = isTokenShape('join', token)
    ? await findJoinToken(deps.store.database, hashToken(token))
    : undefined;
  const fault = findFault(deps, token, found);
  if (found !== undefined && fault === undefined) return found;
  await countLoginFailure(deps, undefined, request.clientAddress);
  await refuse(deps, request, fault ?? 'forged');
  throw authError('JOIN_TOKEN_INVALID', { reason: fault ?? 'forged' });
}

function findFault(
  deps: Deps,
  text: string,
  token: StoredJoinToken | undefined,
): TokenFault | undefined {
  if (token === undefined) return isTokenShape('inv', text) ? 'wrong_kind' : 'forged';
  if (token.isUsed) return 'used';
  return token.expiresAtMs <= deps.clock.now() ? 'expired' : undefined;
}

async function refuse(deps: Deps, request: AgentEnrollment, reason: string): Promise<void> {
  const actor = unknownActor(request.name, request.clientAddress);
  await recordDrafts(deps, [{ type: 'agent.join_refused', actor, outcome: 'denied', reason }]);
}

interface Admission {
  readonly request: AgentEnrollment;
  readonly token: StoredJoinToken;
  readonly id: Id<'agt'>;
  readonly issued: IssuedCertificate;
}

async function admit(deps: Deps, scope: ChangeScope, admission: Admission): Promise<AgentEnrolled> {
  const { request, token, id, issued } = admission;
  const { name } = request;
  if (!(await takeJoinToken(scope.tx, token.id, scope.now)))
    throw authError('JOIN_TOKEN_INVALID', { reason: 'used' });
  await freeName(scope, name, token.group);
  const group = (await chooseGroup(scope, admission)) ?? id;
  const fingerprint = createHash('sha256').update(issued.certificate).digest();
  const { labels, names } = token;
  await insertAgent(scope.tx, {
    id,
    name,
    folded: foldName(name),
    group,
    labels,
    names,
    fingerprint,
    now: scope.now,
  });
  scope.publish({ kind: 'agent', name: id, body: agentBody({ id, name, group }) });
  const actor = { kind: 'agent', name, address: request.clientAddress };
  const target = { kind: 'agent', name, agent: id };
  const data = { agent: id, group, token: token.id, expires: issued.validUntil.toISOString() };
  scope.audit(
    deps.event({ type: 'agent.joined', actor, target, outcome: 'success', data }, scope.now),
  );
  return { ...issued, agentId: id, group };
}

/**
 * A name is its agent's until that was not seen for a day; then the old agent goes, and with the last of a group what the
 * group registered, unless the new one joins that group. Documents of administrators stay. @throws AGENT_NAME_TAKEN
 */
async function freeName(scope: ChangeScope, name: string, nextGroup: string): Promise<void> {
  const holder = await findAgentByName(scope.tx, foldName(name));
  if (holder === undefined) return;
  const heldUntilMs = (holder.lastSeenAtMs ?? holder.createdAtMs) + holdNamesMs;
  if (heldUntilMs > scope.now.getTime())
    throw authError('AGENT_NAME_TAKEN', { reason: 'name_taken', details: { name } });
  await removeAgent(scope.tx, holder.id);
  scope.publish({ kind: 'agent', name: holder.id });
  if (holder.group !== nextGroup) await clearGroup(scope, holder.group, ['agent']);
}

/** The token says which group; without that an agent may only found one, and inherits nothing. @throws AGENT_GROUP */
async function chooseGroup(
  scope: ChangeScope,
  { request, token }: Admission,
): Promise<string | undefined> {
  const wanted = request.group;
  const refused = () => authError('AGENT_GROUP', { reason: 'group', details: { group: wanted } });
  if (token.group !== '') {
    if (wanted !== '' && foldName(wanted) !== foldName(token.group)) throw refused();
    return token.group;
  }
  if (wanted === '') return undefined;
  if (wanted.startsWith('agt_') || findNameProblem(wanted) !== undefined) throw refused();
  if (!(await isGroupFree(scope.tx, wanted))) throw refused();
  return wanted;
}

/** A fresh certificate for an agent that has one. @throws AGENT_REFUSED, KEY_REFUSED */
export async function renewAgent(
  deps: Deps,
  request: { readonly agentId: string; readonly fingerprint: string; readonly publicKey: Buffer },
): Promise<IssuedCertificate> {
  const shown = Buffer.from(request.fingerprint, 'hex');
  const { agent } = await checkGeneration(deps, { agentId: request.agentId, fingerprint: shown });
  const issued = await issueAgentCertificate(deps, { id: agent.id, publicKey: request.publicKey });
  const fingerprint = createHash('sha256').update(issued.certificate).digest();
  const actor = { kind: 'agent', name: agent.name };
  await deps.store.record(async (scope) => {
    const next = { generation: agent.generation + 1, fingerprint, previous: shown, now: scope.now };
    await setAgentGeneration(scope.tx, agent.id, next);
    const data = {
      kinds: ['host_tls'],
      agent: agent.id,
      generation: next.generation,
      expires: issued.validUntil.toISOString(),
    };
    scope.audit(
      deps.event({ type: 'certificate.issued', actor, outcome: 'success', data }, scope.now),
    );
  });
  return issued;
}
