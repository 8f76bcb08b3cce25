/** What is older than its time goes: events by whole days, recordings with their objects (D25). Days ahead are made. */
import { sleep } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';

import type { AuditConfig } from './config.js';
import type { Deps } from './deps.js';
import { storeLock } from './events/store-events.js';
import { dropDaysBefore } from './store/days.js';
import { dropDeadLetters } from './store/dead-letters.js';
import { dropRecordings, findRecordingsBefore } from './store/recordings.js';

type RetentionDeps = Pick<
  Deps,
  'clock' | 'coordination' | 'database' | 'days' | 'logger' | 'objects'
>;

const everyMs = 3_600_000;
const batch = 100;
/** As long as their topic keeps them. */
const deadLettersMs = 30 * 24 * 3_600_000;

/** Looks at once and every hour; disposing waits for the look under way. */
export function keepRetention(
  deps: RetentionDeps,
  retention: AuditConfig['retention'],
): AsyncDisposable {
  const stop = new AbortController();
  const loop = async () => {
    while (!stop.signal.aborted) {
      await look(deps, retention, stop.signal).catch((thrown: unknown) => {
        deps.logger.warn({ err: thrown }, 'what is too old could not be dropped');
      });
      await sleep(everyMs, stop.signal).catch(() => undefined);
    }
  };
  const looping = loop();
  runInBackground(async () => looping, deps.logger, 'dropping what is too old stopped');
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await looping;
    },
  };
}

async function look(
  deps: RetentionDeps,
  retention: AuditConfig['retention'],
  signal: AbortSignal,
): Promise<void> {
  const { clock, coordination, days, logger } = deps;
  const made = await coordination.locked(storeLock, async ({ transaction }) =>
    days.makeAhead(transaction),
  );
  days.noteMade(made);
  const dropped = await coordination.locked(storeLock, async ({ transaction }) =>
    dropDaysBefore(transaction, new Date(clock.now() - retention.events)),
  );
  if (dropped > 0) {
    days.forget();
    logger.info({ days: dropped }, 'days of events dropped');
  }
  const recordings = await dropOldRecordings(
    deps,
    new Date(clock.now() - retention.recordings),
    signal,
  );
  await dropDeadLetters(deps.database, new Date(clock.now() - deadLettersMs));
  if (recordings > 0) logger.info({ recordings }, 'recordings dropped');
}

/** Objects go first: a stop in between leaves rows, by which the next look finds what is left. */
async function dropOldRecordings(
  { database, objects }: RetentionDeps,
  cutoff: Date,
  signal: AbortSignal,
): Promise<number> {
  let total = 0;
  while (!signal.aborted) {
    const old = await findRecordingsBefore(database, cutoff, batch);
    for (const { id, sessionId } of old) await objects.removeRecording(sessionId, id);
    total += await dropRecordings(
      database,
      old.map(({ id }) => id),
      cutoff,
    );
    if (old.length < batch) return total;
  }
  return total;
}
