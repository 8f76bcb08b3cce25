import { describe, expect, it } from 'vitest';

import { createRetryPlan } from './retry-plan.js';

/** A plan whose waits are the longest there could be, on a clock that the test moves. */
function createLongestPlan() {
  const clock = { ms: 1_000, monotonic: () => clock.ms };
  const plan = createRetryPlan(clock, () => 1);
  const wait = (isUrgent = true) => {
    const ms = plan.nextMs(isUrgent);
    clock.ms += ms;
    return ms;
  };
  return { clock, plan, wait };
}

describe('the plan of tries', () => {
  it('begins with short waits and grows to 2.5 s in the first minute, to 15 s after it', () => {
    const { wait, clock } = createLongestPlan();
    const waits = Array.from({ length: 40 }, () => wait());
    expect(waits.slice(0, 5)).toEqual([250, 450, 850, 1_650, 2_550]);
    expect(Math.max(...waits.slice(0, 20))).toBe(2_550);
    expect(waits.at(-1)).toBe(15_050);
    expect(clock.ms).toBeGreaterThan(60_000);
  });

  // Ten restarts in a row, each with a tunnel that stood shortly, left the agent away for 12 s.
  it('takes restarts in a row for outages of their own', () => {
    const { plan, wait, clock } = createLongestPlan();
    for (let restart = 0; restart < 20; restart += 1) {
      for (let tries = 0; tries < 5; tries += 1) expect(wait()).toBeLessThan(2_600);
      clock.ms += 1_000;
      plan.noteService(1_000);
    }
  });

  it('keeps the longer waits where tunnels end at once, so that a mistake is not repeated at full speed', () => {
    const { plan, wait } = createLongestPlan();
    const waits = Array.from({ length: 10 }, () => {
      plan.noteService(100);
      return wait();
    });
    expect(waits.at(-1)).toBe(2_550);
  });

  it('begins anew after a tunnel that stood', () => {
    const { plan, wait } = createLongestPlan();
    for (let tries = 0; tries < 10; tries += 1) wait();
    plan.noteService(5_001);
    expect(wait()).toBe(250);
  });
  it('does not hurry while another tunnel serves', () => {
    const { wait } = createLongestPlan();
    expect(Array.from({ length: 8 }, () => wait(false)).slice(4)).toEqual([
      3_250, 6_450, 12_850, 15_050,
    ]);
  });
});
