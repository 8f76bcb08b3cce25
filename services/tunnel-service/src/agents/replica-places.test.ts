import { expect, it, vi } from 'vitest';

import { rankReplicas, ReplicaPlaces } from './replica-places.js';

const agents = Array.from({ length: 3_000 }, (_, index) => `agt_${index}`);
const two = (agent: string, replicas: readonly string[]) =>
  rankReplicas(agent, replicas).slice(0, 2);

it('spreads agents evenly, and moves none but those of a replica that goes', () => {
  const four = ['srv_a', 'srv_b', 'srv_c', 'srv_d'];
  const three = four.slice(0, 3);
  const places = agents.flatMap((agent) => two(agent, four));
  for (const id of four) {
    const share = places.filter((place) => place === id).length / places.length;
    expect(share).toBeGreaterThan(0.22);
    expect(share).toBeLessThan(0.28);
  }
  for (const agent of agents) {
    const before = two(agent, four);
    if (!before.includes('srv_d')) expect(two(agent, three)).toEqual(before);
  }
  expect(two('agt_1', four.toReversed())).toEqual(two('agt_1', four));
});

it('tells of a replica that went and came back before anybody was told', () => {
  vi.useFakeTimers();
  try {
    const onChange = vi.fn();
    using places = new ReplicaPlaces({ replicaId: 'srv_a', onChange });
    expect(places.of('agt_1')).toEqual([]);
    const first = places.addSight();
    const second = places.addSight();
    first.set(['srv_a', 'srv_b']);
    second.set(['srv_a', 'srv_b']);
    vi.advanceTimersByTime(1_000);
    expect(onChange).toHaveBeenCalledTimes(1);
    expect(places.of('agt_1').toSorted()).toEqual(['srv_a', 'srv_b']);
    // One proxy that has lost sight of it says nothing about the replica.
    first.set(['srv_a']);
    vi.advanceTimersByTime(1_000);
    expect(onChange).toHaveBeenCalledTimes(1);
    second.set(['srv_a']);
    second.set(['srv_a', 'srv_b']);
    vi.advanceTimersByTime(1_000);
    expect(onChange).toHaveBeenCalledTimes(2);
    // A proxy that is gone has no word any more.
    second[Symbol.dispose]();
    vi.advanceTimersByTime(1_000);
    expect(onChange).toHaveBeenCalledTimes(3);
    expect(places.of('agt_1')).toEqual(['srv_a']);
  } finally {
    vi.useRealTimers();
  }
});
