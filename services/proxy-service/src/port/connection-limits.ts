/** Caps on connections that have not yet proven who they are: per address, in all, and in number a second (LIM-02, LIM-04). */
import type { Clock } from '@gatehouse/kit/clock';

export interface LimitOptions {
  readonly perAddress: number;
  readonly total: number;
  readonly perSecond: number;
  readonly clock: Clock;
}

export interface ConnectionLimits {
  /** A place for one more connection of `address`, to be given back once; undefined: full. */
  admit(address: string): (() => void) | undefined;
  readonly waiting: number;
}

interface Bucket {
  open: number;
  tokens: number;
  filledAt: number;
}

const maxBuckets = 10_000;

export function createConnectionLimits(options: LimitOptions): ConnectionLimits {
  const buckets = new Map<string, Bucket>();
  let total = 0;
  const bucketOf = (address: string): Bucket => {
    const now = options.clock.monotonic();
    const burst = options.perSecond * 10;
    const bucket = buckets.get(address) ?? { open: 0, tokens: burst, filledAt: now };
    bucket.tokens = Math.min(
      burst,
      bucket.tokens + ((now - bucket.filledAt) / 1000) * options.perSecond,
    );
    bucket.filledAt = now;
    if (buckets.size >= maxBuckets) forgetIdle(buckets);
    buckets.set(address, bucket);
    return bucket;
  };
  return {
    get waiting() {
      return total;
    },
    admit(address) {
      const bucket = bucketOf(address);
      if (total >= options.total || bucket.open >= options.perAddress || bucket.tokens < 1)
        return undefined;
      bucket.tokens -= 1;
      bucket.open += 1;
      total += 1;
      let isOpen = true;
      return () => {
        if (!isOpen) return;
        isOpen = false;
        bucket.open -= 1;
        total -= 1;
      };
    },
  };
}

function forgetIdle(buckets: Map<string, Bucket>): void {
  for (const [address, bucket] of buckets) if (bucket.open === 0) buckets.delete(address);
}
