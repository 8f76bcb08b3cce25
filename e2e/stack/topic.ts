/** The audit topic of a cluster as an outsider with the right to read sees it. */
import { randomUUID } from 'node:crypto';

import { systemClock } from '@gatehouse/kit/clock';
import { decodeAuditRecord, openEventLog, topics, type AuditEvent } from '@gatehouse/kit/event-log';
import { createLogger } from '@gatehouse/kit/log';

export interface TopicReader extends AsyncDisposable {
  /** All so far, repeats included, in the order of arrival. */
  readonly events: readonly AuditEvent[];
}

/** What is no event of ours is passed over, as whoever reads a topic must. */
function decodeOne(record: Parameters<typeof decodeAuditRecord>[0]): AuditEvent[] {
  try {
    return [decodeAuditRecord(record)];
  } catch {
    return [];
  }
}

/** Reads from the beginning on. */
export async function readAuditTopic(broker: string): Promise<TopicReader> {
  const logger = createLogger({ name: 'topic', level: 'silent' });
  const log = openEventLog(
    { type: 'kafka', brokers: [broker] },
    { clock: systemClock, logger, clientId: 'outsider' },
  );
  if (log === undefined) throw new Error('no event log');
  const events: AuditEvent[] = [];
  await log.subscribe({
    topic: topics.audit,
    group: `outsider-${randomUUID()}`,
    onBatch: async (records) => {
      events.push(...records.flatMap(decodeOne));
      return Promise.resolve();
    },
  });
  return { events, [Symbol.asyncDispose]: async () => log[Symbol.asyncDispose]() };
}
