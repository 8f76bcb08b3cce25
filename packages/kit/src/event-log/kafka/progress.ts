/** How far a group is, by the brokers' own word: a member knows only of the partitions that it has. */
import type { Kafka } from 'kafkajs';

import type { Progress } from '../types.js';
import { toEventLogError } from './failure.js';

/** @throws EVENT_LOG_UNAVAILABLE */
export async function readProgress(
  kafka: Kafka,
  topic: string,
  groupId: string,
): Promise<Progress[]> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    const ends = await admin.fetchTopicOffsets(topic);
    const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
    const taken = new Map(found?.partitions.map((one) => [one.partition, BigInt(one.offset)]));
    return ends.map(({ partition, low, high }) => {
      // -1: nothing is committed. What was deleted before anybody read it is not waited for.
      const committed = taken.get(partition) ?? -1n;
      return {
        partition,
        end: BigInt(high),
        taken: committed < BigInt(low) ? BigInt(low) : committed,
      };
    });
  } catch (thrown) {
    throw toEventLogError(thrown);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
