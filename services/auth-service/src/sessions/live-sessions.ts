/** Live sessions as proxies report them, their limits, and their ends (D30). */
import type { AuditTarget } from '@gatehouse/kit/event-log';
import { isId } from '@gatehouse/kit/ids';
import { mayAdminister } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import type { EventDraft } from '../events.js';
import {
  countUserSessions,
  extendLeases,
  findSession,
  findSessionIds,
  insertSessions,
  keepSessions,
  listSessions,
  putLease,
  readDatabaseTime,
  removeLapsedReplicas,
  removeSessions,
  type SessionsPart,
  type StoredSession,
} from '../store/live-sessions.js';
import { findLogin } from '../store/logins.js';
import { putSessionEnd } from '../store/session-ends.js';
import type { RecordScope, Store } from '../store/store.js';
import { requireRule, type Person } from '../users/person.js';
import { sessionEndBody } from '../watch/watch.js';

const leaseMs = 20_000;
const maxBatch = 10_000;
/** For sessions of which the login is not known any more. */
const longestLoginMs = 30 * 24 * 3_600_000;

export interface SessionReport {
  readonly replicaId: string;
  readonly started: readonly StoredSession[];
  readonly ended: readonly string[];
  /** `started` is everything that is live within `part`. */
  readonly complete: boolean;
  /** Default: all. */
  readonly part?: SessionsPart;
  /** 0: no limit. */
  readonly maxSessions: number;
}

export interface SessionReportResult {
  readonly refused: readonly string[];
  readonly leaseUntil: Date;
}

/** @throws ENROLLMENT_INVALID for a report that is no report */
export async function reportSessions(
  deps: Deps,
  report: SessionReport,
): Promise<SessionReportResult> {
  const { replicaId, started, ended, complete, maxSessions } = report;
  if (started.length > maxBatch || ended.length > maxBatch) {
    throw authError('ENROLLMENT_INVALID', { details: { why: 'too many sessions at once' } });
  }
  const sessions = started.filter((session) => isId('ses', session.id));
  const work = async (scope: RecordScope): Promise<SessionReportResult> => {
    const leaseUntil = await putLease(scope.tx, { replicaId, kind: 'proxy', ms: leaseMs });
    await removeSessions(scope.tx, replicaId, ended);
    if (complete) {
      const ids = sessions.map((session) => session.id);
      await keepSessions(scope.tx, { ...report.part, replicaId, ids });
    }
    const refused =
      maxSessions > 0 ? await refuseOverLimit(deps, scope, { sessions, maxSessions }) : [];
    await insertSessions(
      scope.tx,
      sessions.filter((session) => !refused.includes(session.id)),
    );
    return { refused, leaseUntil };
  };
  // Counting and taking a place is one step over all replicas (RBC-10).
  if (maxSessions > 0) return deps.store.change(work);
  return deps.store.record(work);
}

async function refuseOverLimit(
  deps: Deps,
  scope: RecordScope,
  { sessions, maxSessions }: { sessions: readonly StoredSession[]; maxSessions: number },
): Promise<string[]> {
  const refused: string[] = [];
  const counts = new Map<string, number>();
  const ids = sessions.map((session) => session.id);
  for (const session of sessions) {
    const count =
      counts.get(session.user) ?? (await countUserSessions(scope.tx, session.user, ids));
    if (count < maxSessions) {
      counts.set(session.user, count + 1);
      continue;
    }
    counts.set(session.user, count);
    refused.push(session.id);
    const actor = {
      kind: 'user',
      name: session.user,
      loginId: session.loginId,
      address: session.clientAddress,
    };
    const draft = {
      type: 'limit.reached' as const,
      actor,
      target: targetOf(session),
      outcome: 'denied' as const,
      reason: 'max_sessions',
    };
    scope.audit(
      deps.event({ ...draft, data: { limit: 'max_sessions', value: maxSessions } }, scope.now),
    );
  }
  return refused;
}

/** Those of the sessions that are live. @throws ENROLLMENT_INVALID for more than 10,000 ids */
export async function findLiveSessions(
  { store }: Pick<Deps, 'store'>,
  ids: readonly string[],
): Promise<string[]> {
  if (ids.length > maxBatch)
    throw authError('ENROLLMENT_INVALID', { details: { why: 'too many sessions at once' } });
  return findSessionIds(store.database, ids);
}

/** One's own sessions; all for those whom a rule lets read them. */
export async function listVisibleSessions(deps: Deps, person: Person): Promise<StoredSession[]> {
  const all = mayAdminister(person.roles, 'session', 'read');
  return listSessions(deps.store.database, all ? undefined : person.name);
}

/** Ends one's own session, or any where a rule says so; others' are as if they were not (API-10). @throws SESSION_MISSING, NOT_ALLOWED */
export async function endSession(deps: Deps, person: Person, id: string): Promise<void> {
  const session = isId('ses', id) ? await findSession(deps.store.database, id) : undefined;
  const missing = () => authError('SESSION_MISSING', { details: { id: id.slice(0, 64) } });
  if (session === undefined) throw missing();
  if (session.user !== person.name && !mayAdminister(person.roles, 'session', 'end')) {
    if (mayAdminister(person.roles, 'session', 'read')) requireRule(person, 'session', 'end');
    throw missing();
  }
  await deps.store.change(async (scope) => {
    const login = await findLogin(scope.tx, session.loginId);
    const until = new Date(login?.expiresAtMs ?? scope.now.getTime() + longestLoginMs);
    const end = { id, reason: 'ended_by', by: person.name, until };
    await putSessionEnd(scope.tx, end);
    scope.publish({ kind: 'session_end', name: id, body: sessionEndBody(end) });
    scope.audit(deps.event(endRequested(person, session), scope.now));
  });
}

/** Events with a session's id are its proxy's alone, so this one has it among its data. */
function endRequested(person: Person, session: StoredSession): EventDraft {
  return {
    type: 'session.end_requested',
    actor: person.actor,
    target: targetOf(session),
    outcome: 'success',
    data: { session: session.id, user: session.user },
  };
}

function targetOf({ targetKind, target }: StoredSession): AuditTarget {
  return { kind: targetKind === '' ? 'node' : targetKind, name: target };
}

/**
 * Ends leases that ran out. After a time in which nobody could have renewed (our own start, or our database away), and
 * after its clock was set, all get a full term instead: a lease ends by our word, never by our silence.
 */
export function createLeaseSweep(
  deps: Pick<Deps, 'clock' | 'logger'> & { readonly store: Pick<Store, 'database'> },
): () => Promise<void> {
  const { clock, logger, store } = deps;
  let last: { readonly at: number; readonly now: number } | undefined;
  const gapMs = leaseMs / 2;
  return async () => {
    const at = clock.monotonic();
    const now = (await readDatabaseTime(store.database)).getTime();
    const passed = last === undefined ? Infinity : at - last.at;
    const isClockSet = last !== undefined && Math.abs(now - last.now - passed) > gapMs;
    if (passed > gapMs || isClockSet) await extendLeases(store.database, leaseMs);
    else {
      const lapsed = await removeLapsedReplicas(store.database);
      for (const replica of lapsed) logger.warn({ replica }, 'lease of a replica ran out');
    }
    last = { at, now };
  };
}
