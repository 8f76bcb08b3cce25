import { describe, expect, it } from 'vitest';

import { Paces } from './paces.js';

const mebibyte = 1024 * 1024;

function createPaces() {
  let nowMs = 0;
  const paces = new Paces({ monotonic: () => nowMs }, 256 * mebibyte);
  return { paces, pass: (ms: number) => (nowMs += ms) };
}

describe('paces', () => {
  it('hold nobody up while the spool has room', () => {
    const { paces } = createPaces();
    paces.note('mallory', 1000 * mebibyte, 0.2);
    expect(paces.waitMs('mallory', 0.2)).toBe(0);
    expect(paces.waitMs('mallory', 0.3)).toBe(0);
  });

  it('let whoever writes more than a burst wait, the longer the fuller it is, and nobody else', () => {
    const { paces, pass } = createPaces();
    paces.note('mallory', 8 * mebibyte, 0.5);
    expect(paces.waitMs('mallory', 0.5)).toBe(0);
    paces.note('mallory', 1 * mebibyte, 0.5);
    expect(paces.waitMs('mallory', 0.5)).toBe(4000);
    expect(paces.waitMs('mallory', 0.75)).toBe(16_000);
    expect(paces.waitMs('mallory', 1)).toBe(256_000);
    expect(paces.waitMs('alice', 0.9)).toBe(0);
    pass(4000);
    expect(paces.waitMs('mallory', 0.5)).toBe(0);
  });

  it('forgive what was written once there is room again', () => {
    const { paces } = createPaces();
    paces.note('mallory', 20 * mebibyte, 0.5);
    paces.note('alice', 1, 0.1);
    expect(paces.waitMs('mallory', 0.5)).toBe(0);
  });
});
