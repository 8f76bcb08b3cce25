/** Certificates of ours in real TLS 1.3 handshakes: node:tls on both sides, and openssl s_client. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';

import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { derToPem, verifyPartCertificate } from '../src/index.js';
import {
  createTestAuthorities,
  createTestTlsAuthority,
  issueTestAgent,
  issueTestService,
  issueTestUser,
  type TestAuthorities,
} from '../src/testing.js';

let authorities: TestAuthorities;

beforeAll(async () => {
  authorities = await createTestAuthorities();
});

const toPem = (der: Buffer) => derToPem(der, 'CERTIFICATE');

/** A server of the cluster; resolves with what it learned of its client. */
async function serve(
  clientCas: readonly Buffer[],
): Promise<{ port: number; next: () => Promise<TLSSocket> }> {
  const service = await issueTestService(authorities, 'proxy', { dnsNames: ['proxy.test'] });
  const server = createServer({
    key: service.privateKeyPem,
    cert: toPem(service.certificate),
    ca: clientCas.map(toPem),
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const next = async () => {
    const [socket] = (await once(server, 'secureConnection')) as [TLSSocket];
    onTestFinished(() => void socket.destroy());
    return socket;
  };
  return { port, next };
}

interface Client {
  readonly privateKeyPem: string;
  readonly certificate: Buffer;
}

async function meet(
  client: Client,
  options: { ca?: Buffer; servername?: string } = {},
): Promise<TLSSocket> {
  const { port, next } = await serve([
    authorities.userTls.certificate,
    authorities.hostTls.certificate,
  ]);
  const accepted = next();
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: options.servername ?? 'proxy.test',
    ca: toPem(options.ca ?? authorities.hostTls.certificate),
    key: client.privateKeyPem,
    cert: toPem(client.certificate),
  });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'secureConnect');
  return accepted;
}

function verify(der: Buffer) {
  return verifyPartCertificate(der, {
    userAuthorities: [authorities.userTls.certificate],
    hostAuthorities: [authorities.hostTls.certificate],
    nowMs: Date.now(),
    usage: 'client',
  });
}

describe('mutual TLS with certificates of the cluster', () => {
  it.each(['ed25519', 'p256'] as const)(
    'lets a person with a %s key in and knows who it is',
    async (keyType) => {
      const { privateKeyPem, tlsCertificate, identity } = await issueTestUser(authorities, {
        keyType,
      });
      const socket = await meet({ privateKeyPem, certificate: tlsCertificate });
      expect(socket.authorized).toBe(true);
      expect(verify(socket.getPeerCertificate().raw).identity).toEqual(identity);
    },
  );

  it('lets an agent in and knows which', async () => {
    const agent = await issueTestAgent(authorities);
    const socket = await meet(agent);
    expect(socket.authorized).toBe(true);
    expect(verify(socket.getPeerCertificate().raw).part).toEqual(agent.part);
  });

  it('carries a payload of 16 KiB', async () => {
    const roles = Array.from({ length: 800 }, (_, index) => `role-${index}-of-many`);
    const { privateKeyPem, tlsCertificate, identity } = await issueTestUser(authorities, { roles });
    expect(JSON.stringify(identity).length).toBeGreaterThan(12_000);
    const socket = await meet({ privateKeyPem, certificate: tlsCertificate });
    expect(verify(socket.getPeerCertificate().raw).identity).toEqual(identity);
  });

  it('is not authorized with a certificate that is expired or of another CA', async () => {
    const expired = await issueTestUser(authorities, { validBeforeMs: Date.now() - 1000 });
    const late = await meet({
      privateKeyPem: expired.privateKeyPem,
      certificate: expired.tlsCertificate,
    });
    expect(late.authorized).toBe(false);
    const userTls = await createTestTlsAuthority('test user_tls');
    const foreign = await issueTestUser({ ...authorities, userTls });
    const stranger = await meet({
      privateKeyPem: foreign.privateKeyPem,
      certificate: foreign.tlsCertificate,
    });
    expect(stranger.authorized).toBe(false);
  });

  it('does not let a client take a server of another CA or another name for ours', async () => {
    const { privateKeyPem, tlsCertificate } = await issueTestUser(authorities);
    const client = { privateKeyPem, certificate: tlsCertificate };
    await expect(meet(client, { ca: authorities.userTls.certificate })).rejects.toThrow(
      /verify|issuer|self-signed/,
    );
    await expect(meet(client, { servername: 'other.test' })).rejects.toThrow(/altnames/);
  });
});
