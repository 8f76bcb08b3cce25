import { once } from 'node:events';
import { Socket } from 'node:net';

import { expect, it } from 'vitest';

import { AgentPlaces, UnprovenPlaces } from './places.js';

it('gives each address its places, and each place back once', async () => {
  const places = new UnprovenPlaces({ total: 10, perAddress: 2 });
  const first = new Socket();
  const release = places.take('10.0.0.1', first);
  expect(places.take('10.0.0.1', new Socket())).toBeDefined();
  expect(places.take('10.0.0.1', new Socket())).toBeUndefined();
  release?.();
  first.destroy();
  await once(first, 'close');
  expect(places.take('10.0.0.1', new Socket())).toBeDefined();
  expect(places.take('10.0.0.1', new Socket())).toBeUndefined();
});

it('takes from the address that holds most where all places are taken', () => {
  // Else a few addresses that hold connections open without a certificate keep all agents out.
  const places = new UnprovenPlaces({ total: 6, perAddress: 3 });
  const held = Array.from({ length: 6 }, () => new Socket());
  for (const [n, socket] of held.entries()) places.take(`203.0.113.${n % 2}`, socket);
  const destroyed = () => held.filter((socket) => socket.destroyed).length;
  expect(places.take('198.51.100.1', new Socket())).toBeDefined();
  expect(destroyed()).toBe(1);
  expect(held[0]?.destroyed).toBe(false);
  expect(places.take('203.0.113.0', new Socket())).toBeUndefined();
  expect(destroyed()).toBe(1);
});

it('ends the oldest connection of an agent that has too many', () => {
  // Else tunnels of one certificate take the places of all other agents.
  const places = new AgentPlaces(20);
  const greedy = Array.from({ length: 30 }, () => new Socket());
  for (const socket of greedy) expect(places.take('agt_1', socket)).toBe(true);
  expect(greedy.map((socket) => socket.destroyed).lastIndexOf(true)).toBe(21);
  for (let n = 2; n <= 13; n += 1) expect(places.take(`agt_${n}`, new Socket())).toBe(true);
  expect(places.take('agt_14', new Socket())).toBe(false);
  // An agent that has places may change one for another.
  expect(places.take('agt_1', new Socket())).toBe(true);
});
