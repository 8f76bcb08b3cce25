/**
 * The end of sessions whose proxy is gone for good (D22): 60 s after auth-service last knew of them, one `session.ended` with
 * reason `proxy_lost`, under the id that the proxy itself would give it, should it come back to its spool. Judged only while
 * the store keeps up with the event log: an end may lie there unread.
 */
import { sleep } from '@gatehouse/kit/clock';
import {
  encodeAuditRecord,
  isReadThrough,
  topics,
  type AuditEvent,
} from '@gatehouse/kit/event-log';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { RpcConnection } from '@gatehouse/kit/rpc';
import { recoveredEventId } from '@gatehouse/kit/spool';
import { ClusterServiceDefinition } from '@gatehouse/proto/auth/v1/cluster_service';

import type { Deps } from '../deps.js';
import { group } from '../event-log.js';
import { findOpenSessions, forgetOpenSession, summarizeSession } from '../store/open-sessions.js';

type LostDeps = Pick<
  Deps,
  'clock' | 'clusterName' | 'database' | 'eventLog' | 'logger' | 'replicaId'
> & { readonly auth: Pick<RpcConnection, 'client'> };

export interface LostSessionTimes {
  /** Between two looks. */
  readonly everyMs: number;
  /** Sessions that are younger are not asked for: their proxy may not have reported them yet. */
  readonly youngMs: number;
  /**
   * Since the first answer that did not have it, with no look in vain between. A lease lasts 20 s, so a minute after its last
   * renewal.
   */
  readonly missingMs: number;
}

const times: LostSessionTimes = { everyMs: 10_000, youngMs: 30_000, missingMs: 40_000 };
const batch = 1_000;
const readTimeoutMs = 5_000;

/** Looks for ever, in every replica; what two of them write has one id, and is stored once. */
export function endLostSessions(deps: LostDeps, { everyMs, ...given }: LostSessionTimes = times) {
  const stop = new AbortController();
  /** Since when auth-service does not know of them, monotonic ms. */
  const missing = new Map<string, number>();
  const loop = async () => {
    while (!stop.signal.aborted) {
      await look(deps, missing, { everyMs, ...given }).catch((thrown: unknown) => {
        missing.clear();
        deps.logger.debug({ err: thrown }, 'lost sessions could not be looked for');
      });
      await sleep(everyMs, stop.signal).catch(() => undefined);
    }
  };
  runInBackground(loop, deps.logger, 'ending lost sessions stopped');
  return { [Symbol.dispose]: () => stop.abort() };
}

async function look(
  deps: LostDeps,
  missing: Map<string, number>,
  { youngMs, missingMs }: LostSessionTimes,
): Promise<void> {
  await makeSureOfStore(deps.eventLog);
  const now = deps.clock.monotonic();
  const before = new Date(deps.clock.now() - youngMs);
  const open = new Set<string>();
  for (let afterId = ''; ;) {
    const ids = await findOpenSessions(deps.database, { before, afterId, limit: batch });
    if (ids.length === 0) break;
    const { live } = await deps.auth.client(ClusterServiceDefinition).findLiveSessions({ ids });
    const known = new Set(live);
    for (const id of ids) {
      open.add(id);
      if (known.has(id)) missing.delete(id);
      else if (!missing.has(id)) missing.set(id, now);
    }
    afterId = ids.at(-1) ?? '';
  }
  for (const [id, since] of missing) {
    if (!open.has(id)) missing.delete(id);
    else if (now - since >= missingMs) await endSession(deps, id);
  }
}

/** @throws where the store has not read yet what is on the event log */
async function makeSureOfStore(eventLog: LostDeps['eventLog']): Promise<void> {
  const read = { topic: topics.audit, group, timeoutMs: readTimeoutMs };
  if (!(await isReadThrough(eventLog, read))) throw new Error('the store is behind');
}

/** Through the event log, so that everybody hears of it; it comes to the store as all others do. */
async function endSession(deps: LostDeps, sessionId: string): Promise<void> {
  const { clock, clusterName, database, eventLog, logger, replicaId } = deps;
  const summary = await summarizeSession(database, sessionId);
  // Of one whose start came late, from the dead letters, the end may be there already.
  if (summary === undefined || summary.hasEnded) {
    await forgetOpenSession(database, sessionId);
    return;
  }
  const started: unknown = JSON.parse(summary.started);
  if (!isEvent(started)) return;
  const { actor, target, traceId } = started;
  const event: AuditEvent = {
    id: recoveredEventId(sessionId, 'session.ended'),
    type: 'session.ended',
    time: new Date(clock.now()).toISOString(),
    cluster: clusterName,
    sessionId,
    sequence: summary.lastSequence + 1,
    actor,
    ...(target === undefined ? {} : { target }),
    outcome: 'failure',
    reason: 'proxy_lost',
    ...(traceId === undefined ? {} : { traceId }),
    data: { synthesised: true, lastSeenAt: summary.lastAt.toISOString() },
  };
  const source = `gatehouse://${clusterName}/service/audit/${replicaId}`;
  await eventLog.publish(topics.audit, [encodeAuditRecord(event, source)]);
  logger.warn({ sessionId }, 'session ended: its proxy is lost');
}

/** What is stored was decoded before. */
function isEvent(value: unknown): value is AuditEvent {
  return typeof value === 'object' && value !== null && 'actor' in value;
}
