/** What auth-service does by itself: locks that end, leases, presence, counted floods, forgetting. */
import { sleep } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import { findUnreadableLock, readLock, type Lock } from '@gatehouse/policy';

import type { Deps } from './deps.js';
import { renderDocument } from './documents/render.js';
import { systemActor } from './events.js';
import { sweepPresence } from './inventory/presence.js';
import { createLeaseSweep } from './sessions/live-sessions.js';
import {
  findDocument,
  listDocuments,
  removeDocument,
  type StoredDocument,
} from './store/documents.js';
import { pruneInvites } from './store/invites.js';
import { pruneJoinTokens } from './store/join-tokens.js';
import { pruneLogins } from './store/logins.js';
import { pruneOutbox } from './store/outbox.js';
import { pruneSessionEnds } from './store/session-ends.js';
import { pruneTargetNames } from './store/target-names.js';
import { pruneThrottle } from './store/throttle.js';

const dayMs = 24 * 3_600_000;

export interface Jobs extends AsyncDisposable {
  /** There is a lock of which nobody can say whom it names. */
  hasUnreadableLock(): boolean;
}

/** Starts the jobs; disposing ends them. A job that fails is tried again at its next time. */
export function startJobs(deps: Deps): Jobs {
  const stop = new AbortController();
  const sweepLeases = createLeaseSweep(deps);
  const complain = createComplaints(deps);
  let hasUnreadableLock = false;
  const loops = [
    repeat(deps, { everyMs: 1_000, signal: stop.signal, what: 'ending locks' }, async () => {
      const locks = await endLocks(deps);
      complain(locks);
      hasUnreadableLock = findUnreadableLock(locks) !== undefined;
    }),
    repeat(deps, { everyMs: 2_000, signal: stop.signal, what: 'sweeping leases' }, sweepLeases),
    repeat(deps, { everyMs: 2_000, signal: stop.signal, what: 'sweeping presence' }, async () =>
      sweepPresence(deps),
    ),
    repeat(deps, { everyMs: 5_000, signal: stop.signal, what: 'counting floods' }, async () =>
      writeCounts(deps, false),
    ),
    repeat(deps, { everyMs: 60_000, signal: stop.signal, what: 'forgetting' }, async () =>
      prune(deps),
    ),
  ];
  return {
    hasUnreadableLock: () => hasUnreadableLock,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.allSettled(loops);
      await writeCounts(deps, true).catch(() => undefined);
    },
  };
}

async function repeat(
  deps: Deps,
  options: { everyMs: number; signal: AbortSignal; what: string },
  job: () => Promise<void>,
): Promise<void> {
  const done = Promise.withResolvers<void>();
  const loop = async () => {
    while (!options.signal.aborted) {
      try {
        await job();
      } catch (thrown) {
        if (!options.signal.aborted)
          deps.logger.warn({ err: thrown, job: options.what }, 'job failed');
      }
      await sleep(options.everyMs, options.signal).catch(() => undefined);
    }
    done.resolve();
  };
  runInBackground(loop, deps.logger, 'job stopped');
  return done.promise;
}

/** Says once of each lock that is not understood. */
function createComplaints({ logger }: Deps): (locks: readonly Lock[]) => void {
  let known: readonly (string | undefined)[] = [];
  return (locks) => {
    const broken = locks.filter(({ problem }) => problem !== undefined);
    for (const { name, problem } of broken)
      if (!known.includes(name)) logger.error({ lock: name, problem }, 'lock is not understood');
    known = broken.map(({ name }) => name);
  };
}

/** Locks whose end has come go away, with an event (LCK-03). Gives all there were. */
async function endLocks(deps: Deps): Promise<readonly Lock[]> {
  const nowMs = deps.clock.now();
  const documents = await listDocuments(deps.store.database, { kinds: ['lock'] });
  const locks = documents.map(toLock);
  const over = documents.filter((_document, index) => isOver(locks[index], nowMs));
  if (over.length === 0) return locks;
  await deps.store.change(async (scope) => {
    for (const { name, folded } of over) {
      // Another replica may have been faster, or the lock may have been changed.
      const stored = await findDocument(scope.tx, 'lock', folded);
      if (stored === undefined || !isOver(toLock(stored), nowMs)) continue;
      await removeDocument(scope.tx, 'lock', folded);
      scope.publish({ kind: 'lock', name });
      const target = { kind: 'lock', name };
      const base = { actor: systemActor, target, outcome: 'success' as const, reason: 'expired' };
      scope.audit(
        deps.event({ ...base, type: 'lock.deleted', data: { kind: 'lock', name } }, scope.now),
      );
    }
  });
  return locks;
}

function toLock(document: StoredDocument): Lock {
  return readLock(renderDocument(document), document.name);
}

function isOver(lock: Lock | undefined, nowMs: number): boolean {
  return (lock?.expiresAtMs ?? Infinity) <= nowMs;
}

async function writeCounts(deps: Deps, all: boolean): Promise<void> {
  const drafts = deps.floodGate.collect(all);
  if (drafts.length === 0) return;
  await deps.store.record(async (scope) => {
    for (const draft of drafts) scope.audit(deps.event(draft, scope.now));
  });
}

async function prune(deps: Deps): Promise<void> {
  const db = deps.store.database;
  const nowMs = deps.clock.now();
  const dayAgo = new Date(nowMs - dayMs);
  await pruneOutbox(db, dayAgo);
  await pruneSessionEnds(db, dayAgo);
  await pruneThrottle(db, dayAgo);
  await pruneLogins(db, dayAgo);
  await pruneInvites(db, dayAgo);
  await pruneJoinTokens(db, dayAgo);
  await pruneTargetNames(db, dayAgo);
}
