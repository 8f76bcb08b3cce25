import { once } from 'node:events';
import { Socket } from 'node:net';

import { describe, expect, it, vi } from 'vitest';

import { createUnprovenGate } from './unproven.js';

const limits = { perAddress: 2, total: 3, lifeMs: 60_000, bytes: 1000 };

describe('connections that have proven nothing', () => {
  it('are bounded for each address and in all, and give their place back once', async () => {
    const gate = createUnprovenGate(limits);
    const first = new Socket();
    const second = new Socket();
    expect(gate.admit(first, '10.0.0.1')).toBe(true);
    expect(gate.admit(second, '10.0.0.1')).toBe(true);
    expect(gate.admit(new Socket(), '10.0.0.1')).toBe(false);
    const third = new Socket();
    expect(gate.admit(third, '10.0.0.2')).toBe(true);
    expect(gate.admit(new Socket(), '10.0.0.3')).toBe(false);
    first.destroy();
    await once(first, 'close');
    const last = new Socket();
    expect(gate.admit(last, '10.0.0.3')).toBe(true);
    for (const socket of [second, third, last]) socket.destroy();
  });

  it('end when their time is over', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    try {
      const socket = new Socket();
      createUnprovenGate(limits).admit(socket, '10.0.0.1');
      vi.advanceTimersByTime(limits.lifeMs - 250);
      expect(socket.destroyed).toBe(false);
      vi.advanceTimersByTime(250);
      expect(socket.destroyed).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });
});
