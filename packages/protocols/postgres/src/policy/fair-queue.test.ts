import { describe, expect, it } from 'vitest';

import { FairQueue } from './fair-queue.js';

function fill(queue: FairQueue<string>, items: readonly string[]): boolean[] {
  return items.map((item) => queue.push(item.slice(0, 1), item));
}

function drain(queue: FairQueue<string>): string[] {
  return Array.from({ length: 20 }, () => queue.shift()).filter((item) => item !== undefined);
}

describe('a fair queue', () => {
  it('gives each person their turn, and each one their items in order', () => {
    const queue = new FairQueue<string>({ maxItems: 10, maxItemsEach: 10 });
    fill(queue, ['a1', 'a2', 'a3', 'b1', 'c1', 'c2']);
    expect(drain(queue)).toEqual(['a1', 'b1', 'c1', 'a2', 'c2', 'a3']);
    fill(queue, ['a4', 'b2']);
    expect(drain(queue)).toEqual(['a4', 'b2']);
  });

  it('puts who comes anew behind those who wait, and before their second', () => {
    const queue = new FairQueue<string>({ maxItems: 10, maxItemsEach: 10 });
    fill(queue, ['a1', 'a2', 'a3']);
    expect(queue.shift()).toBe('a1');
    fill(queue, ['b1']);
    expect(drain(queue)).toEqual(['a2', 'b1', 'a3']);
  });

  it('has room for so many of one person, and of all', () => {
    const queue = new FairQueue<string>({ maxItems: 3, maxItemsEach: 2 });
    expect(fill(queue, ['a1', 'a2', 'a3', 'b1', 'b2'])).toEqual([true, true, false, true, false]);
    expect(queue.shift()).toBe('a1');
    expect(fill(queue, ['b2'])).toEqual([true]);
    expect(queue.take()).toEqual(['b1', 'b2', 'a2']);
    expect(drain(queue)).toEqual([]);
    expect(fill(queue, ['a4', 'b4', 'c4'])).toEqual([true, true, true]);
  });
});
