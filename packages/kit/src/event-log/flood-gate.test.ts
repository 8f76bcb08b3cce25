import { describe, expect, it } from 'vitest';

import { createFloodGate } from './flood-gate.js';

const failed = (name: string, address = '192.0.2.1:1000') => ({
  type: 'login.failed' as const,
  actor: { kind: 'unknown', name, address },
  outcome: 'failure' as const,
  reason: 'bad_password',
});

function createTestGate() {
  const clock = { nowMs: 0, now: () => clock.nowMs, monotonic: () => clock.nowMs };
  return { gate: createFloodGate(clock), clock };
}

describe('floods', () => {
  it('are written at first, then counted, and the numbers add up', () => {
    const { gate, clock } = createTestGate();
    let written = 0;
    for (let index = 0; index < 5_000; index += 1) {
      clock.nowMs += 10;
      if (gate.admit(failed('ada', `192.0.2.1:${1000 + index}`))) written += 1;
    }
    clock.nowMs += 60_000;
    const counts = gate.collect();
    expect(counts).toHaveLength(1);
    expect(written + Number(counts[0]?.data?.['count'])).toBe(5_000);
    expect(counts[0]).toMatchObject({
      type: 'audit.events_counted',
      actor: { name: 'ada' },
      reason: 'bad_password',
      data: { type: 'login.failed' },
    });
  });

  it('of different people are never one number', () => {
    const { gate, clock } = createTestGate();
    for (let index = 0; index < 20; index += 1)
      for (const name of ['ada', 'bob']) gate.admit(failed(name));
    clock.nowMs += 61_000;
    expect(gate.collect().map((draft) => [draft.actor.name, draft.data?.['count']])).toEqual([
      ['ada', 10],
      ['bob', 10],
    ]);
  });

  it('of made-up names hold a bounded amount of memory and lose no count', () => {
    const { gate } = createTestGate();
    let written = 0;
    for (let index = 0; index < 20_000; index += 1)
      if (gate.admit(failed(`name-${index}`))) written += 1;
    const counted = gate
      .collect(true)
      .reduce((sum, draft) => sum + Number(draft.data?.['count']), 0);
    expect(written + counted).toBe(20_000);
    expect(written).toBeLessThanOrEqual(5_010);
  });

  // Whoever set the clock back silenced an actor for as long.
  it('are told of though the clock is set back', () => {
    const clock = {
      nowMs: 100 * 3_600_000,
      now: () => clock.nowMs,
      monotonic: () => clock.loopMs,
      loopMs: 0,
    };
    const gate = createFloodGate(clock);
    for (let index = 0; index < 20; index += 1) gate.admit(failed('ada'));
    clock.nowMs -= 24 * 3_600_000;
    clock.loopMs += 60_000;
    expect(gate.collect()).toHaveLength(1);
    expect(gate.admit(failed('ada'))).toBe(true);
  });

  it('from more addresses than the table holds are one number', () => {
    const { gate } = createTestGate();
    let written = 0;
    for (let address = 0; address < 30_000; address += 1)
      for (let index = 0; index < 11; index += 1)
        if (gate.admit(failed('x', `[2001:db8::${address.toString(16)}]:1`))) written += 1;
    const counts = gate.collect(true);
    expect(counts.length).toBeLessThanOrEqual(10_001);
    const counted = counts.reduce((sum, { data }) => sum + Number(data['count']), 0);
    expect(written + counted).toBe(330_000);
  });
});
