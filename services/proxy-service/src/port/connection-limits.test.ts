import { describe, expect, it } from 'vitest';

import { createConnectionLimits } from './connection-limits.js';

function limits(options: { perAddress?: number; total?: number; perSecond?: number }) {
  let now = 0;
  const clock = { now: () => now, monotonic: () => now };
  const made = createConnectionLimits({
    perAddress: 3,
    total: 5,
    perSecond: 10,
    ...options,
    clock,
  });
  return { made, pass: (ms: number) => (now += ms) };
}

describe('connection limits', () => {
  it('hold one address back without touching another', () => {
    const { made } = limits({});
    const places = [1, 2, 3].map(() => made.admit('10.0.0.1'));
    expect(places.every((place) => place !== undefined)).toBe(true);
    expect(made.admit('10.0.0.1')).toBeUndefined();
    expect(made.admit('10.0.0.2')).toBeDefined();
  });

  it('give a place back once, however often it is freed', () => {
    const { made } = limits({ total: 1 });
    const place = made.admit('10.0.0.1');
    place?.();
    place?.();
    expect(made.waiting).toBe(0);
    expect(made.admit('10.0.0.1')).toBeDefined();
    expect(made.admit('10.0.0.2')).toBeUndefined();
  });

  it('slow an address that connects too often, and let it in again later', () => {
    const { made, pass } = limits({ perSecond: 1 });
    for (let n = 0; n < 10; n += 1) made.admit('10.0.0.1')?.();
    expect(made.admit('10.0.0.1')).toBeUndefined();
    pass(1_000);
    expect(made.admit('10.0.0.1')).toBeDefined();
  });
});
