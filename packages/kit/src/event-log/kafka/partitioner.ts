/** Which partition a record belongs to: as every Kafka client has it, by the key. */
import { Partitioners, type ICustomPartitioner, type PartitionerArgs } from 'kafkajs';

/** Keys whose partition is remembered for each topic. */
const maxKnownKeys = 4096;

interface KnownKeys {
  readonly partitionCount: number;
  readonly partitions: Map<unknown, number>;
}

/**
 * The client's own partitioner, asked once for a key: it takes 15 µs for one, and all events of a session have the same. Records
 * here always have a key, and no partition of their own.
 */
export const rememberingPartitioner: ICustomPartitioner = () => {
  const choose = Partitioners.DefaultPartitioner();
  const topics = new Map<string, KnownKeys>();
  return (asked: PartitionerArgs) => {
    const { topic, partitionMetadata, message } = asked;
    let known = topics.get(topic);
    const isFull = known !== undefined && known.partitions.size >= maxKnownKeys;
    if (known === undefined || isFull || known.partitionCount !== partitionMetadata.length) {
      known = { partitionCount: partitionMetadata.length, partitions: new Map() };
      topics.set(topic, known);
    }
    const partition = known.partitions.get(message.key) ?? choose(asked);
    known.partitions.set(message.key, partition);
    return partition;
  };
};
