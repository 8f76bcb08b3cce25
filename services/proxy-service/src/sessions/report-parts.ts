/** What a replica tells auth-service of its sessions (D30), in messages that auth-service takes. */
import type { LiveSession as SessionMessage } from '@gatehouse/proto/auth/v1/administration_service';
import type { ReportSessionsRequest } from '@gatehouse/proto/auth/v1/cluster_service';

import type { LiveSession } from './live-session.js';

/** What is told of a session. */
export type ReportedSession = Pick<
  LiveSession,
  'id' | 'identity' | 'principal' | 'clientAddress' | 'startedAtMs'
> & {
  readonly target: Pick<LiveSession['target'], 'kind' | 'name'>;
  readonly protocol: Pick<LiveSession['protocol'], 'name'>;
};

export interface SessionReport {
  readonly started: readonly ReportedSession[];
  /** Ids. */
  readonly ended: readonly string[];
  /** When the list of all sessions was made, where `started` is one; ms since the epoch. */
  readonly completeAtMs?: number;
  /** With one session in `started`: the limit that it is counted against. */
  readonly maxSessions?: number;
}

/** A session is at most about 1.5 KiB, a message 4 MiB; auth-service takes 10,000. */
const maxPartSessions = 2_000;

/**
 * One message at least. A complete report is cut by ids, so that each part says of its own range of ids what is live, and
 * no part takes away what another one names.
 */
export function toReportParts(replicaId: string, report: SessionReport): ReportSessionsRequest[] {
  const { completeAtMs, maxSessions = 0 } = report;
  const started = chunksOf(report.started.toSorted((a, b) => (a.id < b.id ? -1 : 1)));
  const ended = chunksOf(report.ended);
  const ranges = completeAtMs === undefined ? [] : rangesOf(started);
  const count = Math.max(1, started.length, ended.length);
  return Array.from({ length: count }, (_, index) => {
    const range = ranges[index];
    return {
      replicaId,
      started: (started[index] ?? []).map((session) => describe(replicaId, session)),
      ended: [...(ended[index] ?? [])],
      maxSessions,
      complete: range !== undefined,
      takenAt:
        range === undefined || completeAtMs === undefined ? undefined : new Date(completeAtMs),
      afterId: range?.afterId ?? '',
      untilId: range?.untilId ?? '',
    };
  });
}

/** From the first id to the last one, whatever they are; one range at least. */
function rangesOf(chunks: readonly (readonly ReportedSession[])[]) {
  const borders = chunks.slice(0, -1).map((chunk) => chunk.at(-1)?.id ?? '');
  return [...borders, ''].map((untilId, index) => ({ afterId: borders[index - 1] ?? '', untilId }));
}

function chunksOf<T>(all: readonly T[]): (readonly T[])[] {
  return Array.from({ length: Math.ceil(all.length / maxPartSessions) }, (_, index) =>
    all.slice(index * maxPartSessions, (index + 1) * maxPartSessions),
  );
}

function describe(replica: string, session: ReportedSession): SessionMessage {
  return {
    id: session.id,
    protocol: session.protocol.name,
    user: session.identity.user,
    target: session.target.name,
    targetKind: session.target.kind,
    principal: session.principal,
    startedAt: new Date(session.startedAtMs),
    replica,
    loginId: session.identity.loginId,
    clientAddress: session.clientAddress,
  };
}
