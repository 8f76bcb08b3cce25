/** How far one member is behind, by partition: what it holds, and what was behind that when it was fetched. */
import type { EachBatchPayload, KafkaMessage } from 'kafkajs';

import type { Clock } from '../../clock/clock.js';
import type { ReadLag } from '../types.js';

export class Lag {
  readonly #clock: Clock;
  readonly #partitions = new Map<number, { records: number; sinceMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The first message of a batch that is not taken yet; undefined where all are. */
  note({ batch }: EachBatchPayload, next: KafkaMessage | undefined): void {
    const { partition, highWatermark } = batch;
    const last = this.#partitions.get(partition)?.sinceMs ?? this.#clock.now();
    const offset = next?.offset ?? (BigInt(batch.lastOffset()) + 1n).toString();
    const records = Number(BigInt(highWatermark) - BigInt(offset));
    if (records <= 0) this.#partitions.delete(partition);
    else
      this.#partitions.set(partition, {
        records,
        sinceMs: next === undefined ? last : Number(next.timestamp),
      });
  }

  /** The partitions may be other members’ now. */
  forget(): void {
    this.#partitions.clear();
  }

  read(): ReadLag {
    const all = [...this.#partitions.values()];
    const oldest = Math.min(...all.map(({ sinceMs }) => sinceMs));
    return {
      records: all.reduce((sum, { records }) => sum + records, 0),
      behindMs: all.length === 0 ? 0 : Math.max(1, this.#clock.now() - oldest),
    };
  }
}
