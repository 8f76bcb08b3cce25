import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { WindowReserve } from './reserve.js';

describe('a reserve', () => {
  it('never lets both sides together send more than the window', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3_000_000 }),
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 100_000 })), { maxLength: 50 }),
        (window, steps) => {
          const reserve = new WindowReserve(65_536);
          let told = reserve.setAside(window);
          let granted = window;
          let used = 0;
          for (const [isOurs, bytes] of steps) {
            if (isOurs) used += reserve.take(bytes) ? bytes : 0;
            else {
              granted += bytes;
              told += reserve.refill(bytes);
            }
            expect(told + used).toBeLessThanOrEqual(granted);
          }
        },
      ),
    );
  });

  it('leaves most of a small window to the sender', () => {
    const reserve = new WindowReserve(65_536);
    expect(reserve.setAside(1000)).toBe(750);
    expect(reserve.take(251)).toBe(false);
    expect(reserve.take(250)).toBe(true);
    expect(reserve.refill(500)).toBe(250);
    expect(reserve.refill(500)).toBe(500);
  });

  it('comes out of the first adjustment where the window starts at 0', () => {
    const reserve = new WindowReserve(16_384);
    expect(reserve.setAside(0)).toBe(0);
    expect(reserve.refill(2_097_152)).toBe(2_097_152 - 16_384);
  });
});
