import { parseLock, readLock, type Lock } from '@gatehouse/policy';
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

function told(locks: readonly Lock[]) {
  return encodeLocks(locks).map(({ message }) => {
    if (message?.$case !== 'locks') throw new Error('no locks');
    return message.value;
  });
}

it('tells agents of locks in a form that they can read back, and only of those that concern a dial', () => {
  const [message, ...rest] = told([
    lock('l1', { user: 'alice' }, '2030-01-01T00:00:00Z'),
    lock('l2', { login_session: 'lgn_1' }),
    lock('l3', { replica: 'srv_1' }),
  ]);
  expect([message?.more, rest]).toEqual([false, []]);
  const read = message?.documentsJson.map((text) => parseLock(JSON.parse(text))) ?? [];
  expect(read.map(({ name }) => name)).toEqual(['l1', 'l3']);
  expect(read[0]).toMatchObject({
    target: { user: 'alice' },
    message: 'incident 7',
    expiresAtMs: Date.parse('2030-01-01T00:00:00Z'),
  });
});

it('tells of many locks in messages below the limit, and of each of them', () => {
  const many = Array.from({ length: 5_000 }, (_, index) =>
    lock(`l${index}`, { user: `u${index}`.padEnd(250, 'x') }),
  );
  const messages = told(many);
  expect(messages.map(({ more }) => more)).toEqual([...messages.slice(1).map(() => true), false]);
  for (const { documentsJson } of messages)
    expect(Buffer.byteLength(documentsJson.join(''))).toBeLessThan(1_000_000);
  const read = messages.flatMap(({ documentsJson }) => documentsJson);
  expect(read.map((text) => parseLock(JSON.parse(text)).name)).toEqual(
    many.map(({ name }) => name),
  );
  expect(told([])).toEqual([{ documentsJson: [], more: false }]);
});

it('passes on what it does not understand itself, so that agents do not open what may be locked', () => {
  const raw = (target: object) => readLock({ spec: { target } }, 'l');
  const [message] = told([
    raw({ device: 'x' }),
    raw({ user: 'alice', role: 'dev' }),
    raw({ login: 'root', login_session: 'lgn_1' }),
  ]);
  const read = message?.documentsJson.map((text) => readLock(JSON.parse(text), 'l').target);
  expect(read).toEqual([
    {},
    { user: 'alice', role: 'dev' },
    { login: 'root', loginSession: 'lgn_1' },
  ]);
});
