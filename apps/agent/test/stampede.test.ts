import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';

import { derToPem } from '@gatehouse/identity';
import { issueTestAgent } from '@gatehouse/identity/testing';
import { serveTunnel, tunnelAlpn } from '@gatehouse/tunnel';
import { expect, it, onTestFinished } from 'vitest';

import { startTestCluster } from './test-cluster.js';

it('admits a stampede of agents at its rate, all of them in the end', async () => {
  const agents = 120;
  const perSecond = 40;
  const cluster = await startTestCluster(0);
  const tunnel = await cluster.addTunnel({}, { admissions_per_second: perSecond });
  const { authorities, port } = cluster;
  const parts = await Promise.all(
    Array.from({ length: agents }, async () => issueTestAgent(authorities)),
  );
  const cameAtMs: number[] = [];
  const startedMs = performance.now();

  /** One light agent: comes at once, and again after a moment where it was turned away. */
  const come = async ({ privateKeyPem, certificate }: (typeof parts)[number]) => {
    for (;;) {
      const settings: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
        host: '127.0.0.1',
        port: Number(port.address.split(':')[1]),
        servername: 'tunnel.test.gatehouse.internal',
        ALPNProtocols: [tunnelAlpn],
        key: privateKeyPem,
        cert: derToPem(certificate, 'CERTIFICATE'),
        ca: derToPem(authorities.hostTls.certificate, 'CERTIFICATE'),
        checkServerIdentity: () => undefined,
        allowHalfOpen: true,
      };
      const socket = tls.connect(settings);
      socket.on('error', () => undefined);
      try {
        await once(socket, 'secureConnect');
        cameAtMs.push(performance.now() - startedMs);
        const served = serveTunnel(socket, () => undefined);
        onTestFinished(() => served.close());
        const control = await served.control;
        const hello = { version: '1', targets: [], dynamic: [], nonce: 1n };
        control.send({ message: { $case: 'hello', value: hello } });
        await control.messages().next();
        return;
      } catch {
        await sleep(Math.random() * 1000);
      }
    }
  };
  await Promise.all(parts.map(come));
  await expect.poll(() => tunnel.tunnels).toBe(agents);
  // A second's worth may come at once; the rest is spread.
  const lastMs = Math.max(...cameAtMs);
  expect(lastMs).toBeGreaterThan(((agents - perSecond) / perSecond) * 1000 * 0.9);
  const inFirstSecond = cameAtMs.filter((ms) => ms < 1000).length;
  expect(inFirstSecond).toBeLessThanOrEqual(2 * perSecond + 2);
  await expect
    .poll(() => cluster.auth.presence.get(tunnel.replicaId)?.length, { timeout: 10_000 })
    .toBe(agents);
});
