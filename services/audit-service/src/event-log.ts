/** The event log of a cluster, and its topics, which this service makes (D25). */
import { backoffMs, sleep, type Clock } from '@gatehouse/kit/clock';
import {
  createKafkaTopics,
  openEventLog,
  readKafkaConnection,
  topics,
  type EventLog,
  type TopicSpec,
} from '@gatehouse/kit/event-log';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';

import type { AuditConfig } from './config.js';
import { auditError } from './errors.js';

/** All replicas are one group. */
export const group = 'audit-store';

const clientId = 'gatehouse-audit';
const dayMs = 24 * 3_600_000;
const replicas = 3;
const topicSpecs: readonly TopicSpec[] = [
  { topic: topics.audit, partitions: 12, replicas, retentionMs: 7 * dayMs },
  { topic: topics.recordings, partitions: 12, replicas, retentionMs: 3 * dayMs },
  { topic: topics.checkpoints, partitions: 1, replicas, retentionMs: 400 * dayMs },
  { topic: topics.deadLetters, partitions: 1, replicas, retentionMs: 30 * dayMs },
];

interface OpenDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stack: AsyncDisposableStack;
}

/** Opens it; what is missing is made as soon as the brokers can be reached. @throws AUDIT_NO_EVENT_LOG */
export function openOwnEventLog(config: AuditConfig, deps: OpenDeps): EventLog {
  const { clock, logger, stack } = deps;
  const eventLog = openEventLog(config.event_log, { clientId, clock, logger });
  if (eventLog === undefined) throw auditError('AUDIT_NO_EVENT_LOG');
  stack.use(eventLog);
  if (config.create_topics) {
    const stop = new AbortController();
    stack.defer(() => stop.abort());
    runInBackground(async () => makeTopics(config, logger, stop.signal), logger);
  }
  return eventLog;
}

async function makeTopics(config: AuditConfig, logger: Logger, signal: AbortSignal): Promise<void> {
  const connection = readKafkaConnection(config.event_log, { clientId, logger });
  if (connection === undefined) return;
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      await createKafkaTopics(connection, topicSpecs);
      return;
    } catch (thrown) {
      logger.warn({ err: thrown }, 'topics could not be made');
    }
    await sleep(backoffMs(attempt, { baseMs: 500, capMs: 10_000 }), signal).catch(() => undefined);
  }
}
