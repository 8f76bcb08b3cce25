/** One at a time per key, with a bound on those who wait. */
export interface KeyedMutex {
  /** @throws what `refuse` makes, where too many wait for the key already */
  run<T>(key: string, work: () => Promise<T>): Promise<T>;
}

export function createKeyedMutex(maxWaiting: number, refuse: () => Error): KeyedMutex {
  const turns = new Map<string, { tail: Promise<unknown>; count: number }>();
  return {
    async run(key, work) {
      const turn = turns.get(key) ?? { tail: Promise.resolve(), count: 0 };
      if (turn.count > maxWaiting) throw refuse();
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
