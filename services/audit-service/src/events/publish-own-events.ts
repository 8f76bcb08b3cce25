/** Hands the events of audit-service itself over to the event log, also after it was away. */
import { backoffMs, sleep } from '@gatehouse/kit/clock';
import { decodeAuditRecord, encodeAuditRecord, topics } from '@gatehouse/kit/event-log';
import { runInBackground } from '@gatehouse/kit/lifecycle';

import type { Deps } from '../deps.js';
import { listOwnEvents, removeOwnEvents } from '../store/own-events.js';

type PublishDeps = Pick<
  Deps,
  'clusterName' | 'coordination' | 'database' | 'eventLog' | 'logger' | 'replicaId'
>;

/** One replica at a time, or each event would be on the log as often as there are replicas. */
const publishLock = 'audit own events';
const batch = 100;
const pollMs = 1_000;

/** For ever. Disposing waits for the batch under way; what remains is published by another replica, or after the next start. */
export function publishOwnEvents(deps: PublishDeps): AsyncDisposable {
  const { logger } = deps;
  const stop = new AbortController();
  const loop = async () => {
    for (let attempt = 0; !stop.signal.aborted;) {
      try {
        if ((await listOwnEvents(deps.database, 1)).length > 0)
          await deps.coordination.alone(publishLock, async () => publishBatch(deps));
        attempt = 0;
      } catch (thrown) {
        logger.warn({ err: thrown }, 'own events wait for the log');
        attempt += 1;
      }
      const waitMs =
        attempt === 0 ? pollMs : pollMs + backoffMs(attempt, { baseMs: 500, capMs: 10_000 });
      await sleep(waitMs, stop.signal).catch(() => undefined);
    }
  };
  const looping = loop();
  runInBackground(async () => looping, logger, 'publishing own events stopped');
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await looping;
    },
  };
}

async function publishBatch({
  clusterName,
  database,
  eventLog,
  replicaId,
}: PublishDeps): Promise<void> {
  const rows = await listOwnEvents(database, batch);
  if (rows.length === 0) return;
  const source = `gatehouse://${clusterName}/service/audit/${replicaId}`;
  const records = rows.map(({ event }) =>
    encodeAuditRecord(decodeAuditRecord({ value: Buffer.from(event) }), source, event),
  );
  await eventLog.publish(topics.audit, records);
  await removeOwnEvents(
    database,
    rows.map(({ id }) => id),
  );
}
