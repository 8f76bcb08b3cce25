import { describe, expect, it } from 'vitest';

import { Portal, PreparedNames } from './prepared-names.js';

const value = (id: number, keptBytes = 100) => ({ id, keptBytes, ownBytes: keptBytes });

describe('names', () => {
  it('mean what they were given last, and tell what they meant before', () => {
    const names = new PreparedNames<ReturnType<typeof value>>({ maxNames: 9, maxBytes: 9999 });
    for (const name of ['', 'a']) {
      expect(names.replace(name, value(1))).toBeUndefined();
      expect(names.replace(name, value(2))?.id).toBe(1);
      expect(names.get(name)?.id).toBe(2);
      expect(names.replace(name, undefined)?.id).toBe(2);
      expect(names.get(name)).toBeUndefined();
    }
  });

  it('are forgotten for number, the oldest first, the empty one never', () => {
    const names = new PreparedNames<ReturnType<typeof value>>({ maxNames: 3, maxBytes: 1e9 });
    names.replace('', value(0));
    for (let id = 1; id <= 5; id += 1) names.replace(`s${id}`, value(id));
    const ids = ['', 's1', 's2', 's3', 's4', 's5'].map((name) => names.get(name)?.id);
    expect(ids).toEqual([0, undefined, undefined, 3, 4, 5]);
  });

  it('are forgotten for size, even the last one', () => {
    const names = new PreparedNames<ReturnType<typeof value>>({ maxNames: 99, maxBytes: 2000 });
    for (let id = 1; id <= 4; id += 1) names.replace(`s${id}`, value(id, 500));
    expect(['s2', 's3', 's4'].map((name) => names.get(name)?.id)).toEqual([undefined, 3, 4]);
    names.replace('big', value(5, 3000));
    expect(names.get('big')).toBeUndefined();
  });

  it('take no more room for being given again and again', () => {
    const names = new PreparedNames<ReturnType<typeof value>>({ maxNames: 9, maxBytes: 2000 });
    names.replace('kept', value(1));
    for (let id = 0; id < 1000; id += 1) names.replace('a', value(id));
    expect(names.get('kept')?.id).toBe(1);
    names.clear();
    expect(names.get('kept')).toBeUndefined();
  });

  it('of portals count the values that are kept', () => {
    const bytes = Buffer.alloc(1000);
    const values = [{ format: 'text', bytes, valueBytes: 1000 } as const];
    expect(new Portal(undefined, values).ownBytes).toBeGreaterThan(1000);
    expect(new Portal(undefined, undefined).ownBytes).toBe(0);
  });
});
