import { parseLock } from '@gatehouse/policy';
import { expect, it } from 'vitest';

import { encodeLocks, findAgentLock } from './news.js';

const clock = { now: () => 1_000_000 };
const lock = (name: string, target: Record<string, string>, expiresAt?: string) =>
  parseLock({
    kind: 'lock',
    version: 'v1',
    metadata: { name },
    spec: { target, message: 'incident 7', ...(expiresAt ? { expires_at: expiresAt } : {}) },
  });

it('finds a lock on an agent by its id, its name and its group, and none that has ended', () => {
  const agent = { agentId: 'agt_1', name: 'a1', group: 'web' };
  for (const name of ['agt_1', 'a1', 'web'])
    expect(findAgentLock([lock('l', { agent: name })], agent, clock)?.name).toBe('l');
  expect(findAgentLock([lock('l', { agent: 'a2' })], agent, clock)).toBeUndefined();
  const ended = lock('l', { agent: 'a1' }, '1970-01-01T00:00:01Z');
  expect(findAgentLock([ended], agent, clock)).toBeUndefined();
});

it('tells agents of locks in a form that they can read back, and only of those that concern a dial', () => {
  const locks = [
    lock('l1', { user: 'alice' }, '2030-01-01T00:00:00Z'),
    lock('l2', { login_session: 'lgn_1' }),
    lock('l3', { replica: 'srv_1' }),
  ];
  const { message } = encodeLocks(locks);
  if (message?.$case !== 'locks') throw new Error('no locks');
  const read = message.value.documentsJson.map((text) => parseLock(JSON.parse(text)));
  expect(read.map(({ name }) => name)).toEqual(['l1', 'l3']);
  expect(read[0]).toMatchObject({
    target: { user: 'alice' },
    message: 'incident 7',
    expiresAtMs: Date.parse('2030-01-01T00:00:00Z'),
  });
});

it('keeps the message of locks below the limit of control messages', () => {
  const many = Array.from({ length: 5_000 }, (_, index) =>
    lock(`l${index}`, { user: `u${index}`.padEnd(250, 'x') }),
  );
  const { message } = encodeLocks(many);
  if (message?.$case !== 'locks') throw new Error('no locks');
  expect(message.value.documentsJson.join('').length).toBeLessThan(1_000_000);
});
