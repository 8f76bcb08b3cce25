/**
 * Hands audit rows to the event log and deletes what it has acknowledged (D24): at least once; readers know events by id.
 * An outage of the log keeps rows in the table and loses nothing. A row that is no event goes to the dead letters.
 */
import { backoffMs, sleep } from '@gatehouse/kit/clock';
import { toGatehouseError } from '@gatehouse/kit/errors';
import {
  decodeAuditRecord,
  encodeAuditRecord,
  maxBatchBytes,
  topics,
  type EventLog,
  type LogRecord,
} from '@gatehouse/kit/event-log';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';

import { listWaitingAudits, removeAudits, type WaitingAudit } from '../store/audit.js';
import { auditChannel, type Store } from '../store/store.js';

export interface AuditRelay extends AsyncDisposable {
  /** The log did not take events at the last try. */
  isBehind(): boolean;
  /** Resolves when everything written before has been handed over. */
  flush(): Promise<void>;
}

export interface AuditRelayOptions {
  readonly store: Store;
  readonly eventLog: EventLog;
  /** URI of this replica, for `ce_source`. */
  readonly source: string;
  readonly logger: Logger;
}

const batchRows = 200;
/** One replica at a time: each is told of every event, and what two hand over is on the log twice. */
const relayLock = 'audit relay';
/** Also looks by itself: a notice may be lost, and another replica may have died with rows waiting. */
const pollMs = 1_000;
/** A dead letter holds at most so much of what it is about. */
const maxLetterBytes = 512 * 1024;
const maxReasonChars = 512;
const maxKeyChars = 256;

export async function startAuditRelay(options: AuditRelayOptions): Promise<AuditRelay> {
  const { store, logger } = options;
  const stop = new AbortController();
  let wake = Promise.withResolvers<void>();
  let behind = false;
  let running: Promise<unknown> = Promise.resolve();
  const listener = await store.coordination.listen(auditChannel, () => wake.resolve());
  const drain = async () => {
    const turn = running.then(async () =>
      store.coordination.alone(relayLock, async () => relayAll(options)),
    );
    running = turn.catch(() => undefined);
    return turn;
  };
  const loop = async () => {
    for (let attempt = 0; !stop.signal.aborted;) {
      wake = Promise.withResolvers<void>();
      try {
        await drain();
        attempt = 0;
        behind = false;
        await Promise.race([wake.promise, sleep(pollMs, stop.signal)]);
      } catch (thrown) {
        if (stop.signal.aborted) return;
        behind = true;
        logger.warn({ err: thrown }, 'audit events wait for the log');
        await sleep(100 + backoffMs(attempt, { baseMs: 200, capMs: 5_000 }), stop.signal).catch(
          () => undefined,
        );
        attempt += 1;
      }
    }
  };
  const looping = loop();
  runInBackground(async () => looping, logger, 'audit relay stopped');
  return {
    isBehind: () => behind,
    flush: drain,
    async [Symbol.asyncDispose]() {
      listener[Symbol.dispose]();
      stop.abort();
      await looping.catch(() => undefined);
      // While the log is away a stop does not wait for it: the rows stay.
      if (!behind) await drain().catch(() => undefined);
    },
  };
}

async function relayAll(options: AuditRelayOptions): Promise<void> {
  const { store, logger } = options;
  for (;;) {
    const rows = await listWaitingAudits(store.database, batchRows);
    if (rows.length === 0) return;
    for (const batch of splitRows(rows)) {
      await publishRows(options, batch);
      await removeAudits(
        store.database,
        batch.map((row) => row.id),
      );
      logger.debug({ count: batch.length }, 'audit events relayed');
    }
    if (rows.length < batchRows) return;
  }
}

/** A row that can't be decoded must not hold up those behind it. */
async function publishRows(
  { eventLog, source, logger }: AuditRelayOptions,
  rows: readonly WaitingAudit[],
): Promise<void> {
  const records: LogRecord[] = [];
  const letters: LogRecord[] = [];
  for (const row of rows) {
    try {
      records.push(toRecord(row, source));
    } catch (thrown) {
      logger.error({ err: thrown, row: row.id }, 'dead letter');
      letters.push(toDeadLetter(row, thrown));
    }
  }
  if (records.length > 0) await eventLog.publish(topics.audit, records);
  if (letters.length > 0) await eventLog.publish(topics.deadLetters, letters);
}

/** Well below the log's limit on a batch. */
function splitRows(rows: readonly WaitingAudit[]): WaitingAudit[][] {
  const batches: WaitingAudit[][] = [[]];
  let bytes = 0;
  for (const row of rows) {
    const size = Buffer.byteLength(row.event) + 1024;
    if (bytes + size > maxBatchBytes && bytes > 0) {
      batches.push([]);
      bytes = 0;
    }
    batches.at(-1)?.push(row);
    bytes += size;
  }
  return batches;
}

function toRecord(row: WaitingAudit, source: string): LogRecord {
  const value = Buffer.from(row.event);
  return encodeAuditRecord(decodeAuditRecord({ value }), source, value);
}

/** With the headers of audit-service's own dead letters; the position is the row's. */
function toDeadLetter(row: WaitingAudit, thrown: unknown): LogRecord {
  const value = Buffer.from(row.event);
  const headers = {
    dead_topic: topics.audit,
    dead_position: String(row.id),
    dead_reason: toGatehouseError(thrown).message.slice(0, maxReasonChars).toWellFormed(),
    dead_bytes: String(value.length),
  };
  return {
    key: row.logKey.slice(0, maxKeyChars),
    headers,
    value: value.subarray(0, maxLetterBytes),
  };
}
