import { createLogger } from '@gatehouse/kit/log';
import { expect, it, onTestFinished } from 'vitest';

import { findReplicas, type ReplicasOptions } from './replicas.js';

const logger = createLogger({ name: 'test', level: 'silent' });

async function find(options: Partial<ReplicasOptions>) {
  const changes: (readonly string[])[] = [];
  const replicas = await findReplicas({
    addresses: [],
    publicAddresses: [],
    logger,
    onChange: (addresses) => changes.push(addresses),
    ...options,
  });
  onTestFinished(() => replicas[Symbol.dispose]());
  return { replicas, changes };
}

it('pairs what agents dial with what proxies dial, place by place', async () => {
  const { replicas, changes } = await find({
    addresses: ['10.0.0.1:3028', '[fd00::1]:3028'],
    publicAddresses: ['192.0.2.1:443', '[fd00::1]:3029'],
  });
  expect(changes).toEqual([['10.0.0.1:3028', '[fd00::1]:3028']]);
  expect(replicas.publicAddress('10.0.0.1:3028')).toBe('192.0.2.1:443');
  expect(replicas.publicAddress('[fd00::1]:3028')).toBe('[fd00::1]:3029');
});

it('follows a name through the replicas it stands for, and forgets none while nobody answers', async () => {
  let answer: readonly string[] | undefined = ['10.0.0.1'];
  let asked = 0;
  const { replicas, changes } = await find({
    addresses: ['tunnel.gatehouse:3028'],
    publicAddresses: ['tunnel.gatehouse:3029'],
    resolve: async () => {
      asked += 1;
      return answer ?? Promise.reject(new Error('SERVFAIL'));
    },
    intervalMs: 5,
  });
  const later = async (next: readonly string[] | undefined) => {
    answer = next;
    const before = asked;
    await expect.poll(() => asked, { timeout: 10_000 }).toBeGreaterThan(before + 1);
  };
  await later(['10.0.0.1', '10.0.0.2']);
  expect(replicas.publicAddress('10.0.0.2:3028')).toBe('10.0.0.2:3029');
  await later(undefined);
  expect(replicas.publicAddress('10.0.0.2:3028')).toBe('10.0.0.2:3029');
  await later(['10.0.0.3']);
  expect(changes.at(-1)).toEqual(['10.0.0.3:3028']);
  expect(changes).toHaveLength(3);
});
