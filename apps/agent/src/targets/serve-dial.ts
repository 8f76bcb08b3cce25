/** One dial: grant → locks → list → target → bytes. Nothing is connected before the first three have said yes. */
import type { Duplex } from 'node:stream';

import { verifyGrant, type Grant } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { GatehouseError, toGatehouseError } from '@gatehouse/kit/errors';
import type { Logger } from '@gatehouse/kit/log';
import { joinStreams } from '@gatehouse/kit/net';
import { inSpan } from '@gatehouse/kit/telemetry';
import { findLock, findUnreadableLock, type Lock } from '@gatehouse/policy';
import type { AgentProtocol } from '@gatehouse/protocol-api';
import { breakConnection, type DialReason, type IncomingDial } from '@gatehouse/tunnel';

import { agentError } from '../errors.js';
import { connectTcp } from './connect-tcp.js';
import type { ListedTarget, TargetList } from './target-list.js';
import type { UsedGrants } from './used-grants.js';

export interface DialDeps {
  readonly agentId: string;
  readonly targets: TargetList;
  readonly usedGrants: UsedGrants;
  readonly protocols: Readonly<Record<string, AgentProtocol>>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Names under which a lock may mean this agent. */
  agentNames(): readonly string[];
  /** `host_tls` CA certificates, DER. */
  hostAuthorities(): readonly Buffer[];
  locks(): readonly Lock[];
}

/** Longest way to a target, login included: a person hears that it timed out within 10 s. */
const connectTimeoutMs = 8_500;

/** Answers a dial and carries it to its end. Never rejects. */
export async function serveDial(dial: IncomingDial, deps: DialDeps): Promise<void> {
  const { logger } = deps;
  const startedMs = deps.clock.monotonic();
  let connection: Duplex | undefined;
  try {
    const { grant, target } = authorize(dial, deps);
    connection = await connect(dial, { grant, target, deps });
    const stream = dial.accept();
    const { outcome, side } = await joinStreams(stream, connection, {
      breakStream: breakConnection,
    });
    const ms = Math.round(deps.clock.monotonic() - startedMs);
    const fields = { sessionId: grant.session, target: grant.target, outcome, ms };
    logger.info({ ...fields, side: side === 'a' ? 'client' : 'target' }, 'connection ended');
  } catch (thrown) {
    connection?.destroy();
    refuse(dial, toGatehouseError(thrown), deps);
  }
}

function authorize(dial: IncomingDial, deps: DialDeps): { grant: Grant; target: ListedTarget } {
  const nowMs = deps.clock.now();
  const { grant, issuer } = verifyGrant(dial.grant, {
    hostAuthorities: deps.hostAuthorities(),
    nowMs,
    agentId: deps.agentId,
    isUsed: (jti, forgetAtMs) => deps.usedGrants.use(jti, forgetAtMs, nowMs),
  });
  if (grant.session !== dial.sessionId) throw denied('the grant is of another session');
  const unreadable = findUnreadableLock(deps.locks());
  if (unreadable !== undefined) throw denied(`locked: ${unreadable.message}`);
  const subject = {
    agents: deps.agentNames(),
    user: grant.user,
    login: grant.principal,
    target: grant.target,
    replica: issuer.id,
  };
  const lock = findLock(deps.locks(), subject, nowMs);
  if (lock !== undefined) throw denied(`locked: ${lock.message}`);
  const target = deps.targets.find(grant.target, grant.protocol);
  if (target === undefined) throw denied('the target is not in the list of this agent');
  return { grant, target };
}

function denied(why: string): GatehouseError {
  return agentError('AGENT_DIAL_REFUSED', { reason: 'not_allowed_by_agent', details: { why } });
}

async function connect(
  dial: IncomingDial,
  { grant, target, deps }: { grant: Grant; target: ListedTarget; deps: DialDeps },
): Promise<Duplex> {
  const protocol = deps.protocols[target.protocol] ?? connectTcp;
  const abort = new AbortController();
  const forward = () => {
    abort.abort(dial.signal.reason);
  };
  dial.signal.addEventListener('abort', forward, { once: true });
  const timer = setTimeout(() => {
    abort.abort(
      new GatehouseError('deadline_exceeded', 'TIMED_OUT', 'timed out', { reason: 'timed_out' }),
    );
  }, connectTimeoutMs);
  try {
    const attributes = { 'session.id': grant.session, target: target.name };
    const { traceparent } = dial;
    return await inSpan(`agent.dial ${target.protocol}`, { attributes, traceparent }, async () =>
      protocol.connect({
        sessionId: grant.session,
        target: target.name,
        spec: target.spec,
        principal: grant.principal,
        user: grant.user,
        details: grant.options ?? {},
        signal: abort.signal,
      }),
    );
  } finally {
    clearTimeout(timer);
    dial.signal.removeEventListener('abort', forward);
  }
}

const unreachable: readonly string[] = ['refused', 'not_found', 'timed_out'];

function refuse(dial: IncomingDial, error: GatehouseError, deps: DialDeps): void {
  const reason = reasonOf(error);
  const { sessionId } = dial;
  const level = reason === 'not_allowed_by_agent' ? 'warn' : 'info';
  deps.logger[level]({ err: error, sessionId, reason }, 'dial refused');
  try {
    dial.refuse(reason, error.publicMessage);
  } catch {
    // It was accepted before, or its dialler is gone: nobody waits for an answer.
  }
}

function reasonOf(error: GatehouseError): DialReason {
  const { reason } = error;
  if (reason === 'login_failed') return reason;
  if (unreachable.includes(reason ?? '')) {
    return reason === 'not_found' || reason === 'timed_out' ? reason : 'refused';
  }
  // A facet that failed by itself could not reach its target; everything else was a no.
  return error.kind === 'internal' || error.kind === 'unavailable'
    ? 'refused'
    : 'not_allowed_by_agent';
}
