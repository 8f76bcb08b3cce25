import { PassThrough } from 'node:stream';

import { expect, it } from 'vitest';

import { createWebConnections } from './web-connections.js';

function create(limits: { perAddress: number; total: number }) {
  const connections = createWebConnections(limits);
  const made: PassThrough[] = [];
  return {
    ...connections,
    come(address: string) {
      const connection = new PassThrough();
      made.push(connection);
      connections.add(connection, address);
      return connection;
    },
    open: () => made.filter(({ destroyed }) => !destroyed).length,
  };
}

it('holds no more of an address than it may have, and takes each new one', () => {
  // Else one address holds as many as it likes by asking for something now and then.
  const web = create({ perAddress: 10, total: 100 });
  for (let n = 0; n < 200; n += 1) expect(web.come('203.0.113.1').destroyed).toBe(false);
  expect(web.open()).toBe(10);
});

it('closes the quietest of an address first', () => {
  const web = create({ perAddress: 2, total: 100 });
  const busy = web.come('203.0.113.1');
  const quiet = web.come('203.0.113.1');
  web.asks(busy);
  web.come('203.0.113.1');
  expect([busy.destroyed, quiet.destroyed]).toEqual([false, true]);
});

it('takes from the address that has most where there are too many in all', () => {
  // Else a few addresses that take all places shut everybody else out.
  const web = create({ perAddress: 10, total: 20 });
  const person = web.come('198.51.100.1');
  for (let n = 0; n < 60; n += 1) web.come(`203.0.113.${n % 3}`);
  const other = web.come('198.51.100.2');
  expect(web.open()).toBe(20);
  expect([person.destroyed, other.destroyed]).toEqual([false, false]);
});

it('gives the place of a closed connection back', async () => {
  const web = create({ perAddress: 2, total: 2 });
  const [first, second] = [web.come('203.0.113.1'), web.come('203.0.113.1')];
  first.destroy();
  await new Promise((resolve) => first.once('close', resolve));
  web.come('203.0.113.1');
  expect(second.destroyed).toBe(false);
});
