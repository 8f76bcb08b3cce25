import { once } from 'node:events';
import { connect } from 'node:net';
import tls from 'node:tls';

import { derToPem } from '@gatehouse/identity';
import { createTestAuthorities, issueTestService } from '@gatehouse/identity/testing';
import { systemClock } from '@gatehouse/kit/clock';
import { createLogger } from '@gatehouse/kit/log';
import { fastify } from 'fastify';
import { expect, it, onTestFinished } from 'vitest';

import { createConnectionLimits } from './connection-limits.js';
import { openPort } from './port.js';
import { createRouting, type RoutingDeps } from './routing.js';

const logger = createLogger({ name: 'test', level: 'silent' });

/** A port behind which there is only the web; ten connections of an address may prove nothing. */
async function openWebPort() {
  const authorities = await createTestAuthorities('test');
  const own = await issueTestService(authorities, 'proxy');
  const web = fastify();
  web.get('/', () => 'ok');
  await web.ready();
  const deps = {
    config: { limits: { unauthenticated_per_address: 10, unauthenticated_total: 20 } },
    membership: {
      tls: () => ({
        key: own.privateKeyPem,
        certificate: derToPem(own.certificate, 'CERTIFICATE'),
      }),
      trust: () => ({
        hostTlsCa: [authorities.hostTls.certificate],
        userTlsCa: [authorities.userTls.certificate],
      }),
    },
    protocols: [],
    web,
    logger,
    clock: systemClock,
  } as unknown as RoutingDeps;
  const port = await openPort({
    host: '127.0.0.1',
    port: 0,
    limits: createConnectionLimits({
      perAddress: 10,
      total: 20,
      perSecond: 1_000,
      clock: systemClock,
    }),
    greetings: [],
    greetingTimeoutMs: 10_000,
    routes: createRouting(deps).routes,
    logger,
  });
  onTestFinished(async () => port[Symbol.asyncDispose]());
  return port;
}

it('has a stop wait for whoever has not said yet what it wants, and for no browser', async () => {
  const port = await openWebPort();
  const silent = connect(port.address.port, '127.0.0.1');
  onTestFinished(() => void silent.destroy());
  await expect.poll(() => port.awaited).toBe(1);
  const browser = tls.connect({ port: port.address.port, rejectUnauthorized: false });
  onTestFinished(() => void browser.destroy());
  await once(browser, 'secureConnect');
  await expect.poll(() => [port.connections, port.awaited]).toEqual([2, 1]);
  silent.destroy();
  await expect.poll(() => [port.connections, port.awaited]).toEqual([1, 0]);
});

it('bounds connections of browsers, and still answers each new one', async () => {
  const port = await openWebPort();
  for (let n = 0; n < 40; n += 1) {
    const browser = tls.connect({ port: port.address.port, rejectUnauthorized: false });
    browser.on('error', () => undefined);
    onTestFinished(() => void browser.destroy());
    browser.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    const [answer] = (await once(browser, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);
  }
  // Else an address that asks for something now and then holds as many as it likes.
  await expect.poll(() => port.connections, { timeout: 10_000 }).toBe(10);
});
