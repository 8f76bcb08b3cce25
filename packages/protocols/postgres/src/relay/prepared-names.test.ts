import { describe, expect, it } from 'vitest';

import { Portal, PreparedNames } from './prepared-names.js';

const value = (id: number, keptBytes = 100) => ({ id, keptBytes, ownBytes: keptBytes });

function open(limits: { maxNames?: number; maxBytes?: number } = {}) {
  const names = new PreparedNames<ReturnType<typeof value>>({
    maxNames: 9,
    maxBytes: 9999,
    ...limits,
  });
  const give = (name: string, id: number, keptBytes?: number) =>
    names.settle(names.begin(name, value(id, keptBytes)));
  /** By what is sent now, and behind all that is answered. */
  const meanings = (name: string) => [names.get(name)?.id, names.settled(name)?.id];
  return { names, give, meanings };
}

describe('names', () => {
  it('mean what was sent last, and what was answered where the answers are', () => {
    const { names, meanings } = open();
    for (const name of ['', 'a']) {
      const first = names.begin(name, value(1));
      expect(meanings(name)).toEqual([1, undefined]);
      const second = names.begin(name, value(2));
      names.settle(first);
      expect(meanings(name)).toEqual([2, 1]);
      const closed = names.begin(name, undefined);
      names.settle(second);
      expect(meanings(name)).toEqual([undefined, 2]);
      names.settle(closed);
      expect(meanings(name)).toEqual([undefined, undefined]);
    }
  });

  it('mean what they did where what was sent fails, and what was sent behind it where that does not', () => {
    const { names, give, meanings } = open();
    give('a', 1);
    const failing = names.begin('a', value(2));
    const closed = names.begin('a', undefined);
    const last = names.begin('a', value(3));
    names.drop(failing);
    expect(meanings('a')).toEqual([3, 1]);
    names.drop(closed);
    names.drop(last);
    expect(meanings('a')).toEqual([1, 1]);
  });

  it('are not known behind SQL that takes them, but for those that are given behind it', () => {
    const { names, give, meanings } = open();
    give('a', 1);
    give('b', 1);
    names.begin('c', value(1));
    const taking = names.beginTaking('a');
    expect(['a', 'b', 'c'].map((name) => names.get(name)?.id)).toEqual([undefined, 1, 1]);
    const all = names.beginTaking(undefined);
    expect(['a', 'b', 'c'].map((name) => names.get(name)?.id)).toEqual(Array(3).fill(undefined));
    const given = names.begin('a', value(2));
    expect(meanings('a')).toEqual([2, 1]);
    names.take('a');
    names.endTaking(taking);
    names.endTaking(all);
    expect(meanings('a')).toEqual([2, undefined]);
    expect(meanings('b')).toEqual([1, 1]);
    names.settle(given);
    names.take(undefined);
    expect(meanings('a')).toEqual([undefined, undefined]);
    expect(meanings('c')).toEqual([1, undefined]);
  });

  it('are forgotten for number, the oldest first, the empty one never', () => {
    const { names, give } = open({ maxNames: 3, maxBytes: 1e9 });
    give('', 0);
    for (let id = 1; id <= 5; id += 1) give(`s${id}`, id);
    const ids = ['', 's1', 's2', 's3', 's4', 's5'].map((name) => names.get(name)?.id);
    expect(ids).toEqual([0, undefined, undefined, 3, 4, 5]);
  });

  it('are forgotten for size, even the last one', () => {
    const { names, give } = open({ maxNames: 99, maxBytes: 2000 });
    for (let id = 1; id <= 4; id += 1) give(`s${id}`, id, 500);
    expect(['s2', 's3', 's4'].map((name) => names.get(name)?.id)).toEqual([undefined, 3, 4]);
    give('big', 5, 3000);
    expect(names.get('big')).toBeUndefined();
  });

  it('take no more room for being given again and again', () => {
    const { names, give } = open({ maxBytes: 2000 });
    give('kept', 1);
    for (let id = 0; id < 1000; id += 1) give('a', id);
    expect(names.get('kept')?.id).toBe(1);
  });

  it('of portals count the values that are kept', () => {
    const bytes = Buffer.alloc(1000);
    const values = [{ format: 'text', bytes, valueBytes: 1000 } as const];
    const none = { get: () => undefined, settled: () => undefined };
    expect(new Portal(none, '', values).ownBytes).toBeGreaterThan(1000);
    expect(new Portal(none, '', undefined).ownBytes).toBe(0);
  });
});
