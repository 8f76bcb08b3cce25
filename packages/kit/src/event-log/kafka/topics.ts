/** Makes topics that are missing (D25). What is there is left as it is: its owner may have chosen otherwise. */
import { setTimeout as delay } from 'node:timers/promises';

import type { Admin, Kafka } from 'kafkajs';

import type { Logger } from '../../log/log.js';
import { eventLogError } from '../errors.js';
import { hasCode, toEventLogError } from './failure.js';

export interface TopicSpec {
  readonly topic: string;
  readonly partitions: number;
  /** As many replicas as there are brokers, at most this. */
  readonly replicas: number;
  readonly retentionMs: number;
}

const leaderTimeoutMs = 15_000;

/** @throws EVENT_LOG_UNAVAILABLE */
export async function createTopics(
  kafka: Kafka,
  specs: readonly TopicSpec[],
  logger: Logger,
): Promise<void> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    for (const spec of specs) {
      const isNew = await createTopic(admin, spec, brokers.length);
      if (isNew && brokers.length < spec.replicas)
        logger.warn(
          { topic: spec.topic, replicas: brokers.length, wanted: spec.replicas },
          'topic made with fewer replicas than it should have, because there are no more brokers now; it stays so',
        );
    }
    await waitForLeaders(
      admin,
      specs.map(({ topic }) => topic),
    );
  } catch (thrown) {
    throw toEventLogError(thrown);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/** @returns false where there was one */
async function createTopic(admin: Admin, spec: TopicSpec, brokers: number): Promise<boolean> {
  const replicationFactor = Math.min(spec.replicas, brokers);
  const configEntries = [
    { name: 'retention.ms', value: String(spec.retentionMs) },
    // The client reads no codec but gzip, and one batch of another stops all readers: a writer's, or what the broker's own
    // default makes of every one.
    { name: 'compression.type', value: 'uncompressed' },
    // A record that was acknowledged is on two brokers, where there are three.
    { name: 'min.insync.replicas', value: String(Math.min(2, Math.max(1, replicationFactor - 1))) },
  ];
  try {
    return await admin.createTopics({
      // The client's own wait fails now and then although the topic was made.
      waitForLeaders: false,
      topics: [
        { topic: spec.topic, numPartitions: spec.partitions, replicationFactor, configEntries },
      ],
    });
  } catch (thrown) {
    if (!hasCode(thrown, 'TOPIC_ALREADY_EXISTS')) throw thrown;
    return false;
  }
}

async function waitForLeaders(admin: Admin, names: readonly string[]): Promise<void> {
  const deadline = performance.now() + leaderTimeoutMs;
  for (;;) {
    const found = await admin
      .fetchTopicMetadata({ topics: [...names] })
      .catch(() => ({ topics: [] }));
    const led = found.topics.filter(({ partitions }) => partitions.every((one) => one.leader >= 0));
    if (led.length === names.length) return;
    if (performance.now() > deadline) throw eventLogError('EVENT_LOG_UNAVAILABLE');
    await delay(100);
  }
}
