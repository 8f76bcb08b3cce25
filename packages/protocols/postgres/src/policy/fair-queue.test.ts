import { describe, expect, it } from 'vitest';

import { FairQueue } from './fair-queue.js';

/** Items are called by their person, with a digit; each is a byte, and a capital letter ten. */
function open(maxBytes: number) {
  const dropped: string[] = [];
  const queue = new FairQueue<string>({
    maxBytes,
    bytesOf: (item) => (/^[A-Z]/.test(item) ? 10 : 1),
    onDropped: (item) => dropped.push(item),
  });
  return {
    queue,
    dropped,
    push: (...items: string[]) => {
      for (const item of items) queue.push(item.slice(0, 1).toLowerCase(), item);
    },
    drain: () => Array.from({ length: 20 }, () => queue.shift()).filter((one) => one !== undefined),
  };
}

describe('a fair queue', () => {
  it('gives each person their turn, and each one their items in order', () => {
    const { push, drain } = open(10);
    push('a1', 'a2', 'a3', 'b1', 'c1', 'c2');
    expect(drain()).toEqual(['a1', 'b1', 'c1', 'a2', 'c2', 'a3']);
    push('a4', 'b2');
    expect(drain()).toEqual(['a4', 'b2']);
  });

  it('puts who comes anew behind those who wait, and before their second', () => {
    const { queue, push, drain } = open(10);
    push('a1', 'a2', 'a3');
    expect(queue.shift()).toBe('a1');
    push('b1');
    expect(drain()).toEqual(['a2', 'b1', 'a3']);
  });

  it('drops where there is no more room the last of whoever takes most of it', () => {
    const { queue, dropped, push, drain } = open(12);
    push('a1', 'a2', 'a3', 'b1', 'C1');
    expect(dropped.splice(0)).toEqual(['C1']);
    push('c2', 'c3');
    expect(dropped).toEqual([]);
    expect(drain()).toEqual(['a1', 'b1', 'c2', 'a2', 'c3', 'a3']);
    push('D1', 'd2', 'd3', 'a4');
    expect(dropped.splice(0)).toEqual(['d3']);
    expect(queue.take()).toEqual(['D1', 'd2', 'a4']);
    expect(drain()).toEqual([]);
    push('E1');
    expect(drain()).toEqual(['E1']);
  });

  it('drops what has no room by itself', () => {
    const { dropped, push, drain } = open(5);
    push('A1', 'b1');
    expect(dropped).toEqual(['A1']);
    expect(drain()).toEqual(['b1']);
  });
});
