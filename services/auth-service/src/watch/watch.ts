/**
 * The Watch (D27): trusted keys, a snapshot where the watcher has none or an old one, then every change in the order of
 * commits, and a heartbeat every 5 s. A change may be told twice (at the seam of snapshot and stream), never skipped.
 */
import type { WatchResponse } from '@gatehouse/proto/auth/v1/cluster_service';

import type { Deps } from '../deps.js';
import { renderDocument } from '../documents/render.js';
import { authError } from '../errors.js';
import { listAgents } from '../store/agents.js';
import { listDocuments } from '../store/documents.js';
import { listEndedLogins } from '../store/logins.js';
import { listChanges, readOutboxBounds, type OutboxChange } from '../store/outbox.js';
import { listSessionEnds } from '../store/session-ends.js';
import { readConsistently } from '../store/snapshot.js';
import type { Db } from '../store/store.js';
import type { JsonObject } from '../store/tables.js';

const documentKinds = [
  'user',
  'role',
  'lock',
  'cluster_auth_preference',
  'node',
  'kube_cluster',
  'database',
  'app',
  'desktop',
] as const;

const watchKinds: readonly string[] = [
  ...documentKinds,
  'agent',
  'trust',
  'session_end',
  'login_end',
];

/** What a tunnel service needs to know; it has no business with people. */
export const tunnelWatchKinds: readonly string[] = ['agent', 'lock', 'trust'];

const heartbeatMs = 5_000;
const batchSize = 500;

type Event = NonNullable<WatchResponse['event']>;

export interface WatchOptions {
  readonly afterId: bigint;
  readonly kinds: readonly string[];
  readonly signal: AbortSignal;
}

interface WatchDeps extends Pick<Deps, 'clock' | 'hub'> {
  readonly store: Pick<Deps['store'], 'database'>;
  readonly authorities: Pick<Deps['authorities'], 'trust' | 'reload'>;
}

/** The stream; ends when the signal aborts or the hub closes. @throws WATCH_INVALID */
export async function* watchCluster(
  deps: WatchDeps,
  options: WatchOptions,
): AsyncGenerator<{ event: Event }> {
  checkKinds(options.kinds);
  const kinds = new Set(options.kinds);
  let position = Number(options.afterId);
  if (kinds.has('trust')) yield { event: trustEvent(deps) };
  if (!(await canResume(deps.store.database, position))) {
    const snapshot = await readSnapshot(deps, kinds);
    yield { event: { $case: 'snapshotBegin', value: {} } };
    for (const change of snapshot.changes) yield { event: changeEvent({ id: 0, ...change }) };
    yield { event: { $case: 'snapshotEnd', value: { id: BigInt(snapshot.id) } } };
    position = snapshot.id;
  }
  yield* follow(deps, { kinds, position, signal: options.signal });
}

async function* follow(
  deps: WatchDeps,
  from: { kinds: ReadonlySet<string>; position: number; signal: AbortSignal },
): AsyncGenerator<{ event: Event }> {
  const { kinds, signal } = from;
  let { position } = from;
  let beatAt = -Infinity;
  // A closed hub has nothing to wait for: going on would never let anything else have its turn.
  while (!signal.aborted && !deps.hub.isClosed()) {
    if (deps.clock.monotonic() - beatAt >= heartbeatMs) {
      beatAt = deps.clock.monotonic();
      yield {
        event: {
          $case: 'heartbeat',
          value: { time: new Date(deps.clock.now()), id: BigInt(position) },
        },
      };
    }
    const changes =
      deps.hub.lastId() > position
        ? await listChanges(deps.store.database, position, batchSize)
        : [];
    for (const change of changes) {
      position = change.id;
      if (!kinds.has(change.kind)) continue;
      if (change.kind === 'trust') {
        await deps.authorities.reload();
        yield { event: trustEvent(deps) };
      } else yield { event: changeEvent(change) };
    }
    if (changes.length === 0) {
      await deps.hub.wait(
        position,
        Math.max(1, beatAt + heartbeatMs - deps.clock.monotonic()),
        signal,
      );
    }
  }
}

function checkKinds(kinds: readonly string[]): void {
  if (kinds.length === 0) throw authError('WATCH_INVALID', { details: { why: 'none given' } });
  const unknown = kinds.find((kind) => !watchKinds.includes(kind));
  if (unknown !== undefined)
    throw authError('WATCH_INVALID', { details: { why: `"${unknown}" can't be watched` } });
}

/** Resuming needs every change since; a database restored from a backup has fewer ids than the watcher saw. */
async function canResume(db: Db, position: number): Promise<boolean> {
  if (position <= 0) return false;
  const { first, last } = await readOutboxBounds(db);
  return position >= first - 1 && position <= last && last > 0;
}

interface Snapshot {
  readonly id: number;
  readonly changes: readonly { kind: string; name: string; body: JsonObject }[];
}

/** Everything as of one moment. */
async function readSnapshot(
  deps: Pick<WatchDeps, 'clock' | 'store'>,
  kinds: ReadonlySet<string>,
): Promise<Snapshot> {
  const wanted = documentKinds.filter((kind) => kinds.has(kind));
  return readConsistently(deps.store.database, async (tx) => {
    const { last } = await readOutboxBounds(tx);
    const documents = await listDocuments(tx, { kinds: wanted });
    const changes = documents.map((one) => ({
      kind: one.kind,
      name: one.name,
      body: renderDocument(one),
    }));
    if (kinds.has('agent')) {
      for (const agent of await listAgents(tx))
        changes.push({ kind: 'agent', name: agent.id, body: agentBody(agent) });
    }
    if (kinds.has('login_end')) {
      for (const login of await listEndedLogins(tx, new Date(deps.clock.now()))) {
        changes.push({ kind: 'login_end', name: login.id, body: loginEndBody(login) });
      }
    }
    if (kinds.has('session_end')) {
      for (const end of await listSessionEnds(tx, new Date(deps.clock.now())))
        changes.push({ kind: 'session_end', name: end.id, body: sessionEndBody(end) });
    }
    return { id: last, changes };
  });
}

/** What watchers know of an agent. */
export function agentBody(agent: { id: string; name: string; group: string }): JsonObject {
  return { id: agent.id, name: agent.name, group: agent.group };
}

/** What watchers know of a login that has ended. */
export function loginEndBody(login: { reason: string; until: Date }): JsonObject {
  return { reason: login.reason, until: login.until.toISOString() };
}

/** What watchers know of a session that must end. */
export function sessionEndBody({ reason, by }: { reason: string; by: string }): JsonObject {
  return { reason, by };
}

function trustEvent(deps: Pick<WatchDeps, 'authorities'>): Event {
  return { $case: 'trust', value: deps.authorities.trust().bundle };
}

function changeEvent(change: OutboxChange): Event {
  const documentJson = change.body === undefined ? '' : JSON.stringify(change.body);
  return {
    $case: 'change',
    value: { id: BigInt(change.id), kind: change.kind, name: change.name, documentJson },
  };
}
