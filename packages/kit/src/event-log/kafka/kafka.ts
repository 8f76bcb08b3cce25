/**
 * The event log of a cluster: Apache Kafka by kafkajs (D25). Sends are acknowledged by all replicas in step, one at a
 * time and without the idempotent producer, so a record may come twice; readers know records by their ids.
 */
import type { Clock } from '../../clock/clock.js';
import { eventLogError } from '../errors.js';
import type { EventLog } from '../types.js';
import { createKafka, type KafkaConnection } from './connection.js';
import { groupIdOf, Member } from './member.js';
import { readProgress } from './progress.js';
import { Publisher } from './publisher.js';
import { createTopics, type TopicSpec } from './topics.js';

export type { TopicSpec };

export interface KafkaEventLogOptions extends KafkaConnection {
  readonly clock: Clock;
}

/** Opens the log; it connects when it is first used, and goes on through every outage. */
export function createKafkaEventLog(options: KafkaEventLogOptions): EventLog {
  const { clock, logger } = options;
  const kafka = createKafka(options);
  const publisher = new Publisher(kafka, logger);
  const members = new Set<Member>();
  let isClosed = false;
  return {
    publish: async (topic, records) => publisher.publish(topic, records),
    async subscribe(subscription) {
      await Promise.resolve();
      if (isClosed) throw eventLogError('EVENT_LOG_CLOSED');
      const member = new Member({ ...subscription, kafka, clock, logger });
      members.add(member);
      return {
        isFailing: () => member.isFailing,
        lag: () => member.lag,
        [Symbol.asyncDispose]: async () => {
          members.delete(member);
          await member[Symbol.asyncDispose]();
        },
      };
    },
    progress: async (topic, group) => readProgress(kafka, topic, groupIdOf(topic, group)),
    async [Symbol.asyncDispose]() {
      isClosed = true;
      const parts = [publisher, ...members];
      await Promise.all(parts.map(async (part) => part[Symbol.asyncDispose]()));
    },
  };
}

/** Makes those topics that are missing. @throws EVENT_LOG_UNAVAILABLE */
export async function createKafkaTopics(
  connection: KafkaConnection,
  specs: readonly TopicSpec[],
): Promise<void> {
  await createTopics(createKafka(connection), specs, connection.logger);
}
