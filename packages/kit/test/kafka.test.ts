import { randomUUID } from 'node:crypto';

import { systemClock } from '../src/clock/clock.js';
import { describeEventLog } from '../src/event-log/conformance.js';
import { createKafkaEventLog, createKafkaTopics } from '../src/event-log/kafka/kafka.js';
import { createLogger } from '../src/log/log.js';
import { startTestKafka } from '../src/testing/test-kafka.js';

const logger = createLogger({ name: 'test', level: 'silent' });

describeEventLog(
  'Kafka',
  async () => {
    const broker = await startTestKafka();
    const connection = { brokers: [broker.address], clientId: 'test', logger };
    return {
      open: async () => Promise.resolve(createKafkaEventLog({ ...connection, clock: systemClock })),
      async newTopic() {
        const topic = `t-${randomUUID()}`;
        await createKafkaTopics(connection, [
          { topic, partitions: 1, replicas: 3, retentionMs: 3_600_000 },
        ]);
        return topic;
      },
      [Symbol.asyncDispose]: async () => broker[Symbol.asyncDispose](),
    };
  },
  30_000,
);
