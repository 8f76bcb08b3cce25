/** The way from a proxy to a tunnel replica, taken by whoever holds a proxy's certificate: what a forged service would do. */
import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';

import { derToPem, signGrant, type Grant } from '@gatehouse/identity';
import type { TestAuthorities, TestPart } from '@gatehouse/identity/testing';
import { createId } from '@gatehouse/kit/ids';
import { createRpcConnection } from '@gatehouse/kit/rpc';
import { createHop, type TargetStream } from '@gatehouse/tunnel';

import type { Home } from './home.js';
import { run } from './run.js';

export interface ForgedProxy extends Disposable {
  /** Asks an agent for a target, with a grant that is in order. @throws with the reason of the refusal */
  dial(agentId: string, asked: Partial<Grant>): Promise<TargetStream>;
}

/** @param proxy a certificate of kind `proxy` that the cluster's own CA has signed */
export async function openForgedProxy(
  home: Home,
  proxy: TestPart,
  authorities: TestAuthorities,
): Promise<ForgedProxy> {
  const connection = createRpcConnection({
    address: await findTunnelService(home, proxy),
    tls: {
      serverCa: derToPem(authorities.hostTls.certificate, 'CERTIFICATE'),
      key: proxy.privateKeyPem,
      certificate: derToPem(proxy.certificate, 'CERTIFICATE'),
    },
    serverName: 'localhost',
    verifyServer: () => undefined,
  });
  const hop = createHop({ channel: () => connection.channel() });
  return {
    async dial(agentId, asked) {
      const session = createId('ses');
      const grant: Grant = {
        v: 1,
        agent: agentId,
        session,
        target: 'web-1',
        protocol: 'ssh',
        principal: 'deploy',
        user: 'alice',
        mode: 'inspected',
        exp: Math.floor(Date.now() / 1000) + 30,
        jti: createId('req'),
        ...asked,
      };
      return hop.dial({
        agentId,
        grant: await signGrant(grant, proxy),
        sessionId: session,
        signal: AbortSignal.timeout(15_000),
      });
    },
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  };
}

/** Of the ports on which the cluster's process listens, the one whose certificate is the tunnel service's. */
async function findTunnelService(home: Home, proxy: TestPart): Promise<string> {
  const listening = await run('ss', ['-ltnpH']);
  const ports = listening.stdout
    .split('\n')
    .filter((line) => line.includes(`pid=${home.pid},`))
    .map((line) => /:(\d+)\s/.exec(line)?.[1] ?? '');
  for (const port of new Set(ports)) {
    const name = await nameAt(Number(port), proxy);
    if (name.includes('/service/tunnel/')) return `127.0.0.1:${port}`;
  }
  throw new Error(`no tunnel service among ${listening.stdout}`);
}

async function nameAt(port: number, proxy: TestPart): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      key: proxy.privateKeyPem,
      cert: derToPem(proxy.certificate, 'CERTIFICATE'),
    });
    const finish = (name: string) => {
      socket.destroy();
      resolve(name);
    };
    socket.setTimeout(5_000, () => finish(''));
    socket.on('error', () => finish(''));
    socket.once('close', () => finish(''));
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate();
      finish(
        certificate instanceof X509Certificate && socket.alpnProtocol === 'h2'
          ? (certificate.subjectAltName ?? '')
          : '',
      );
    });
  });
}
