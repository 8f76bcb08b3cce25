/** One at a time per key, with a bound on those who wait. */
import { authError } from '../errors.js';

export interface KeyedMutex {
  /** @throws LOGIN_BUSY where too many wait for the key already */
  run<T>(key: string, work: () => Promise<T>): Promise<T>;
}

export function createKeyedMutex(maxWaiting: number): KeyedMutex {
  const turns = new Map<string, { tail: Promise<unknown>; count: number }>();
  return {
    async run(key, work) {
      const turn = turns.get(key) ?? { tail: Promise.resolve(), count: 0 };
      if (turn.count > maxWaiting) throw authError('LOGIN_BUSY');
      turn.count += 1;
      turns.set(key, turn);
      const mine = turn.tail.then(work);
      turn.tail = mine.catch(() => undefined);
      try {
        return await mine;
      } finally {
        turn.count -= 1;
        if (turn.count === 0) turns.delete(key);
      }
    },
  };
}
