import { createLogger } from '@gatehouse/kit/log';
import type { LooseEvent } from '@gatehouse/kit/spool';
import { expect, it } from 'vitest';

import { createRefusalEvents } from './events.js';

const logger = createLogger({ name: 'test', level: 'silent' });
const stranger = (address: string) => ({
  reason: 'certificate',
  why: 'none was shown',
  address,
  viaProxy: '',
});

function createTestEvents() {
  const clock = { nowMs: 0, now: () => clock.nowMs, monotonic: () => clock.nowMs };
  const emitted: LooseEvent[] = [];
  const spool = { emit: (event: LooseEvent) => void emitted.push(event) };
  return { clock, emitted, events: createRefusalEvents({ clock, logger, spool }) };
}

it('counts the refusals of a flood, so that none vanishes', () => {
  // Else who hides among strangers is in no event and no number.
  const { emitted, events } = createTestEvents();
  for (let n = 0; n < 500; n += 1) events.write(stranger(`203.0.113.9:${n}`));
  const written = emitted.filter(({ type }) => type === 'connection.refused').length;
  expect(written).toBeLessThan(20);
  events[Symbol.dispose]();
  expect(emitted.at(-1)).toMatchObject({
    type: 'audit.events_counted',
    reason: 'certificate',
    data: { type: 'connection.refused', count: 500 - written },
  });
});

it('tells of a locked agent however many strangers come, also from its own address', () => {
  // Else who holds a stolen agent's key floods first, and its refusal is no event.
  const { emitted, events } = createTestEvents();
  for (let n = 0; n < 10_000; n += 1) events.write(stranger(`10.0.${n >> 8}.${n & 255}:1`));
  for (let n = 0; n < 500; n += 1) events.write(stranger(`198.51.100.1:${n}`));
  events.write({
    reason: 'locked',
    why: 'stolen',
    agentId: 'agt_1',
    address: '198.51.100.1:1',
    viaProxy: '',
  });
  expect(emitted.at(-1)).toMatchObject({
    type: 'connection.refused',
    reason: 'locked',
    actor: { kind: 'agent', name: 'agt_1' },
  });
  events[Symbol.dispose]();
});
