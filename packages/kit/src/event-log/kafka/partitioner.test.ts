import { Partitioners, type PartitionMetadata } from 'kafkajs';
import { expect, it } from 'vitest';

import { rememberingPartitioner } from './partitioner.js';

const partitions = (count: number) =>
  Array.from({ length: count }, (_, partitionId) => ({
    partitionId,
    leader: 1,
  })) as unknown as PartitionMetadata[];

it('gives every key the partition that the client would, also when a topic has grown', () => {
  const remembering = rememberingPartitioner();
  const own = Partitioners.DefaultPartitioner();
  for (const count of [12, 12, 24])
    for (let index = 0; index < 5000; index += 1) {
      const asked = {
        topic: index % 2 === 0 ? 'even' : 'odd',
        partitionMetadata: partitions(count),
        message: { key: `ses_${index % 4500}`, value: null },
      };
      expect(remembering(asked)).toBe(own(asked));
    }
});
