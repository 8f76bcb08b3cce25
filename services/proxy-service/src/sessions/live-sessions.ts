/**
 * The sessions of this replica: reported to auth-service (D30), decided again when policy changes (D10), ended by a lock in
 * under a second.
 */
import { backoffMs, sleep } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { RpcConnection } from '@gatehouse/kit/rpc';
import type { PolicyChange } from '@gatehouse/membership';
import { ClusterServiceDefinition } from '@gatehouse/proto/auth/v1/cluster_service';
import { hostError, type SessionEnd } from '@gatehouse/protocol-api';
import { z } from 'zod';

import { admit, type AdmissionDeps, type Refused } from './admission.js';
import type { LiveSession } from './live-session.js';
import { toReportParts, type SessionReport } from './report-parts.js';
import { areNarrower } from './statement-rules.js';

export interface LiveSessionsDeps extends AdmissionDeps {
  readonly auth: RpcConnection;
  readonly logger: Logger;
}

export interface LiveSessions extends AsyncDisposable {
  readonly size: number;
  /** @throws SESSION_LIMIT */
  add(session: LiveSession): Promise<void>;
  remove(session: LiveSession): void;
  /** Ends all, for an orderly stop. */
  endAll(end: SessionEnd): void;
  /** Resolves when no session is left, or after `ms`. */
  drained(ms: number): Promise<void>;
}

const reportEveryMs = 500;
const renewEveryMs = 5_000;
/** All sessions are told anew: a report that was given up may have arrived all the same, after a later one. */
const completeEveryMs = 60_000;
/** As auth-service gives it (D30), less the time that a report may take. */
const leaseMs = 15_000;

const endedByAdministrator: SessionEnd = {
  reason: 'ended_by',
  message: 'ended by an administrator',
};

/** What was left open by earlier statements, such as cursors and settings, was judged by other rules or by none. */
const restrictedStatements: SessionEnd = {
  reason: 'policy',
  message: 'access changed: statements are restricted further',
};

const sessionEndSchema = z.object({ by: z.string() });

export function trackSessions(deps: LiveSessionsDeps): LiveSessions {
  return new TrackedSessions(deps);
}

class TrackedSessions implements LiveSessions {
  readonly #deps: LiveSessionsDeps;
  readonly #sessions = new Map<string, LiveSession>();
  #started = new Set<string>();
  #ended = new Set<string>();
  readonly #stop = new AbortController();
  /** Of those that are being counted against a limit: when they began, ms since the epoch. */
  readonly #pending = new Map<string, number>();
  /** When auth-service last had all of them, monotonic ms; before: it may have others. */
  #completeAt = -Infinity;

  constructor(deps: LiveSessionsDeps) {
    this.#deps = deps;
    deps.policy.onChange((change) => this.#onChange(change));
    runInBackground(() => this.#reportForEver(), deps.logger, 'session reports stopped');
  }

  get size(): number {
    return this.#sessions.size;
  }

  async add(session: LiveSession): Promise<void> {
    this.#sessions.set(session.id, session);
    this.#started.add(session.id);
    // Something may have changed between the decision and now; nothing was done in it yet.
    this.#decideAgain(session, { isNew: true });
    const limit = session.options.maxSessions;
    if (limit === undefined) return;
    // Whatever becomes of the answer, auth-service may know of it from now on: its end is reported.
    this.#started.delete(session.id);
    this.#pending.set(session.id, session.startedAtMs);
    const report = { started: [session], ended: [], maxSessions: limit };
    const refused = await this.#report(report).finally(() => this.#pending.delete(session.id));
    if (!refused.includes(session.id)) return;
    throw hostError('SESSION_LIMIT', { reason: 'max_sessions', details: { limit: String(limit) } });
  }

  remove(session: LiveSession): void {
    if (!this.#sessions.delete(session.id)) return;
    if (!this.#started.delete(session.id)) this.#ended.add(session.id);
  }

  endAll(end: SessionEnd): void {
    for (const session of this.#sessions.values()) session.end(end);
  }

  async drained(ms: number): Promise<void> {
    const deadline = performance.now() + ms;
    while (this.#sessions.size > 0 && performance.now() < deadline) await sleep(50);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#report({
      started: [],
      ended: [...this.#ended],
      ...(this.#sessions.size === 0 ? { completeAtMs: this.#deps.clock.now() } : {}),
    }).catch(() => undefined);
  }

  #onChange({ kind, name, document }: PolicyChange): void {
    if (kind === 'session_end') {
      if (document === undefined) return;
      // It ends also where nobody can read who wants it.
      const by = sessionEndSchema.safeParse(document).data?.by;
      this.#sessions.get(name)?.end(endedByAdministrator, by);
      return;
    }
    for (const session of this.#sessions.values())
      if (isConcerned(session, { kind, name })) this.#decideAgain(session);
  }

  #decideAgain(session: LiveSession, { isNew = false } = {}): void {
    const decision = admit(this.#deps, {
      identity: session.identity,
      target: session.target.name,
      principal: session.principal,
      database: session.database,
      kinds: [session.target.kind],
      agentId: session.agentId,
    });
    if (!decision.allowed) return session.end(endOf(decision));
    const earlier = session.statements;
    session.readmit(decision);
    if (!isNew && hasStatements(session) && areNarrower(decision.statements, earlier))
      session.end(restrictedStatements);
  }

  /** Roles with `lock_mode: strict` end their sessions where locks may not be heard of. */
  #endWhatIsStale(): void {
    if (!this.#deps.policy.isStale()) return;
    for (const session of this.#sessions.values()) this.#decideAgain(session);
  }

  async #reportForEver(): Promise<void> {
    let lastAt = -Infinity;
    for (let failures = 0; !this.#stop.signal.aborted;) {
      await sleep(
        reportEveryMs + backoffMs(failures, { baseMs: failures === 0 ? 0 : 200, capMs: 3_000 }),
        this.#stop.signal,
      ).catch(() => undefined);
      const quietMs = this.#deps.clock.monotonic() - lastAt;
      // The lease may have run out, and our sessions with it, while this process stood still.
      if (quietMs > leaseMs) this.#completeAt = -Infinity;
      this.#endWhatIsStale();
      const isDue = quietMs >= renewEveryMs;
      if (!isDue && this.#started.size === 0 && this.#ended.size === 0) continue;
      try {
        await this.#reportBatch();
        failures = 0;
        lastAt = this.#deps.clock.monotonic();
      } catch (thrown) {
        this.#completeAt = -Infinity;
        failures += 1;
        if (failures === 3) this.#deps.logger.warn({ err: thrown }, 'sessions are not reported');
      }
    }
  }

  async #reportBatch(): Promise<void> {
    const at = this.#deps.clock.monotonic();
    const isComplete = at - this.#completeAt >= completeEveryMs;
    const report = isComplete ? this.#all() : { started: this.#present(this.#started) };
    const ended = [...this.#ended];
    const sent = this.#started;
    this.#started = new Set();
    this.#ended = new Set();
    try {
      await this.#report({ ...report, ended });
      if (isComplete) this.#completeAt = at;
    } catch (thrown) {
      for (const id of sent) this.#started.add(id);
      for (const id of ended) this.#ended.add(id);
      throw thrown;
    }
  }

  /** What is being counted against a limit is told by that report alone; this one leaves alone all that began since. */
  #all(): Pick<SessionReport, 'started' | 'completeAtMs'> {
    return {
      started: [...this.#sessions.values()].filter(({ id }) => !this.#pending.has(id)),
      completeAtMs: Math.min(this.#deps.clock.now(), ...this.#pending.values()),
    };
  }

  #present(ids: Set<string>): LiveSession[] {
    return [...ids].map((id) => this.#sessions.get(id)).filter((session) => session !== undefined);
  }

  /** Ids of sessions that are refused for the limit. */
  async #report(report: SessionReport): Promise<readonly string[]> {
    const client = this.#deps.auth.client(ClusterServiceDefinition);
    const refused: string[] = [];
    for (const part of toReportParts(this.#deps.replicaId, report))
      refused.push(...(await client.reportSessions(part)).refused);
    return refused;
  }
}

/** An agent that brings thousands of targets must not have every session decided for each: locks wait behind that. */
function isConcerned(session: LiveSession, { kind, name }: PolicyChange): boolean {
  const { target, identity } = session;
  switch (kind) {
    case 'node':
    case 'kube_cluster':
    case 'database':
    case 'app':
    case 'desktop':
      return kind === target.kind && name.toLowerCase() === target.name.toLowerCase();
    // Agents count for new sessions alone.
    case 'agent':
      return false;
    case 'user':
      return name === identity.user;
    case 'login_end':
      return name === identity.loginId;
    default:
      return true;
  }
}

/** Roles say something about statements in databases alone. */
function hasStatements({ target }: LiveSession): boolean {
  return target.kind === 'database';
}

function endOf({ reason, error }: Refused): SessionEnd {
  switch (reason) {
    case 'locked':
      return { reason: 'lock', message: error.publicMessage };
    case 'no_such_user':
      return { reason: 'user_deleted', message: 'access changed: the user is gone' };
    case 'no_target':
      return { reason: 'target_deleted', message: 'access changed: the target is gone' };
    case 'stale_view':
      return { reason: 'stale_view', message: error.publicMessage };
    case 'logged_out':
    case 'reset':
      return { reason: 'logout', message: 'logged out' };
    default:
      return { reason: 'policy', message: 'access changed' };
  }
}
