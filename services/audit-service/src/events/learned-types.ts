/**
 * Events of types that an earlier release did not know. While releases change one after another, a proxy may be ahead of
 * the replica that reads its events; they lie among the dead letters until a replica that knows their types stores them.
 */
import { sleep } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';

import { toStoredRecord } from '../dead-letters.js';
import { findWaiting, markReplayed, type WaitingQuery } from '../store/dead-letters.js';
import { unknownTypeReason } from './decode-records.js';
import { storeRecords, type BatchDeps } from './store-events.js';

/** Stands where a person's name does for those that a person puts back. */
const storedBy = 'audit-service';
const batch = 50;
/** Longer than clocks of replicas differ, and than a letter takes from its time to its row. */
const overlapMs = 10 * 60_000;

/**
 * Looks at once through all, then at those that older replicas have added, for ever and in every replica: what two of
 * them store is stored once. It goes into the store directly, since on the topic an older replica might get it again.
 * Disposing waits for the look under way.
 */
export function storeLearnedTypes(
  deps: BatchDeps,
  { everyMs }: { readonly everyMs: number } = { everyMs: 60_000 },
): AsyncDisposable {
  const { clock, logger } = deps;
  const stop = new AbortController();
  const loop = async () => {
    let since = new Date(0);
    while (!stop.signal.aborted) {
      const next = new Date(clock.now() - overlapMs);
      try {
        await look(deps, since, stop.signal);
        since = next;
      } catch (thrown) {
        logger.warn({ err: thrown }, 'dead letters of types known by now could not be stored');
      }
      await sleep(everyMs, stop.signal).catch(() => undefined);
    }
  };
  const looping = loop();
  runInBackground(
    async () => looping,
    logger,
    'storing dead letters of types known by now stopped',
  );
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await looping;
    },
  };
}

async function look(deps: BatchDeps, since: Date, signal: AbortSignal): Promise<void> {
  const { clock, database, eventTypes, logger } = deps;
  const reasons = Array.from(eventTypes, unknownTypeReason);
  let after: WaitingQuery['after'];
  while (!signal.aborted) {
    const rows = await findWaiting(database, { reasons, since, after, limit: batch });
    const last = rows.at(-1);
    if (last === undefined) return;
    const records = new Map(rows.map((row) => [toStoredRecord(row), row.id]));
    // What is refused for another reason now stays where it is: put back by a person it says why.
    for (const { record, reason } of await storeRecords(deps, [...records.keys()])) {
      logger.warn({ deadLetter: records.get(record), reason }, 'dead letter refused again');
      records.delete(record);
    }
    const by = { name: storedBy, at: new Date(clock.now()) };
    for (const id of records.values()) await markReplayed(database, id, by);
    if (records.size > 0) logger.info({ events: records.size }, 'events of types known by now');
    after = { deadMs: last.dead_at.getTime(), id: last.id };
  }
}
