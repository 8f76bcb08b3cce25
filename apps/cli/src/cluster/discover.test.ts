import { X509Certificate } from 'node:crypto';
import tls from 'node:tls';

import { caPin, derToPem, issueTlsCertificate } from '@gatehouse/identity';
import {
  createTestAuthorities,
  issueTestService,
  issueTestUser,
  type TestAuthorities,
} from '@gatehouse/identity/testing';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import type { ProxyAddress } from '../profile/address.js';
import { startTestPort } from '../testing.js';
import { discoverCluster, findChainProblem } from './discover.js';
import { findPartUri, isProxyOf } from './peer-name.js';

let authorities: TestAuthorities;
let bundle: string;

beforeAll(async () => {
  authorities = await createTestAuthorities('home');
  bundle = derToPem(authorities.hostTls.certificate, 'CERTIFICATE');
});

const startWeb = (body: () => string, status = 200) =>
  startTestPort(authorities, {
    onHttp: (request, response) => {
      response.statusCode = request.url === '/.well-known/gatehouse.json' ? status : 404;
      response.end(body());
    },
  });

describe('discoverCluster', () => {
  it('trusts a port whose chain leads to the pin', async () => {
    await using port = await startWeb(() =>
      JSON.stringify({ clusterName: 'home', caPins: [], caBundle: bundle, more: 1 }),
    );
    const info = await discoverCluster({
      address: port.address,
      pins: ['sha256:00', port.pin],
      nowMs: Date.now(),
    });
    expect(info).toMatchObject({ clusterName: 'home', caBundle: bundle, needsSecondFactor: false });
  });

  it('asks for a pin where no public authority signed', async () => {
    await using port = await startWeb(() => '');
    await expect(
      discoverCluster({ address: port.address, pins: [], nowMs: Date.now() }),
    ).rejects.toMatchObject({ code: 'PIN_NEEDED' });
  });

  it('does not trust another pin, and asks nothing then', async () => {
    let requests = 0;
    await using port = await startWeb(() => String((requests += 1)));
    const pins = [`sha256:${'0'.repeat(64)}`];
    await expect(
      discoverCluster({ address: port.address, pins, nowMs: Date.now() }),
    ).rejects.toMatchObject({ code: 'PROXY_UNTRUSTED' });
    expect(requests).toBe(0);
  });

  describe('behind a certificate of a public authority', () => {
    const startPublicWeb = async (caBundle: string) => {
      const publicAuthorities = await createTestAuthorities('public');
      const before = tls.getCACertificates('default');
      const root = derToPem(publicAuthorities.hostTls.certificate, 'CERTIFICATE');
      tls.setDefaultCACertificates([...before, root]);
      onTestFinished(() => tls.setDefaultCACertificates(before));
      return startTestPort(publicAuthorities, {
        onHttp: (_request, response) =>
          response.end(JSON.stringify({ clusterName: 'home', caPins: [], caBundle })),
      });
    };
    const discover = async (address: ProxyAddress, pins: readonly string[]) =>
      discoverCluster({ address, pins, nowMs: Date.now() });

    // A public certificate for the name, as whoever inspects the traffic has one, must not outweigh the pin that was given.
    it('takes no authority without a pin where one was given', async () => {
      const stranger = (await createTestAuthorities('home')).hostTls.certificate;
      const strangers = derToPem(stranger, 'CERTIFICATE');
      const pin = caPin(authorities.hostTls.certificate);
      await using impostor = await startPublicWeb(strangers);
      await expect(discover(impostor.address, [pin])).rejects.toMatchObject({
        code: 'PROXY_UNTRUSTED',
      });
      await using port = await startPublicWeb(strangers + bundle);
      expect(await discover(port.address, [pin.toUpperCase()])).toMatchObject({
        caBundle: bundle,
        caPins: [pin],
      });
    });

    it('needs no pin', async () => {
      await using port = await startPublicWeb(bundle);
      expect(await discover(port.address, [])).toMatchObject({ caBundle: bundle });
    });
  });

  it.each([
    ['no JSON', () => '<html>', 200],
    ['no bundle', () => '{"clusterName":"home"}', 200],
    [
      'a bundle that is none',
      () => JSON.stringify({ clusterName: 'home', caBundle: bundle.slice(0, 200) }),
      200,
    ],
    [
      'a name that leaves the URL',
      () => JSON.stringify({ clusterName: 'a/../b', caBundle: bundle }),
      200,
    ],
    ['an error', () => 'x', 500],
    ['an endless answer', () => 'x'.repeat(2 << 20), 200],
  ])('does not take %s for a cluster', async (_name, body, status) => {
    await using port = await startWeb(body, status);
    await expect(
      discoverCluster({ address: port.address, pins: [port.pin], nowMs: Date.now() }),
    ).rejects.toMatchObject({
      code: 'NOT_A_CLUSTER',
    });
  });
});

describe('findChainProblem', () => {
  const toX509 = (der: Buffer) => new X509Certificate(der);
  const pin = (port: { hostTls: { certificate: Buffer } }) => caPin(port.hostTls.certificate);

  it('accepts a proxy under the pinned authority', async () => {
    const proxy = await issueTestService(authorities, 'proxy');
    const chain = [toX509(proxy.certificate), toX509(authorities.hostTls.certificate)];
    expect(findChainProblem(chain, [pin(authorities)], Date.now())).toBeUndefined();
    expect(findChainProblem(chain, [pin(authorities)], Date.now() + 86_400_000)).toContain(
      'expired',
    );
  });

  // A chain may hold any certificate: showing the pinned one is no proof of anything.
  it('refuses a stranger who only shows the pinned authority', async () => {
    const strangers = await createTestAuthorities('home');
    const proxy = await issueTestService(strangers, 'proxy');
    const own = toX509(authorities.hostTls.certificate);
    const pins = [pin(authorities)];
    expect(findChainProblem([toX509(proxy.certificate), own], pins, Date.now())).toContain(
      'not signed',
    );
    expect(
      findChainProblem(
        [toX509(proxy.certificate), toX509(strangers.hostTls.certificate), own],
        pins,
        Date.now(),
      ),
    ).toContain('not signed');
    expect(findChainProblem([own], pins, Date.now())).toBeDefined();
    expect(findChainProblem([], pins, Date.now())).toBeDefined();
  });

  it('refuses other parts, and a person who signs as if an authority', async () => {
    const pins = [pin(authorities)];
    const ca = toX509(authorities.hostTls.certificate);
    const agent = await issueTestService(authorities, 'tunnel');
    expect(findChainProblem([toX509(agent.certificate), ca], pins, Date.now())).toContain(
      'not that of a proxy',
    );
    const proxy = await issueTestService(authorities, 'proxy');
    const user = await issueTestUser(authorities);
    const forged = await issueTlsCertificate({
      authority: {
        certificate: proxy.certificate,
        signer: (await import('@gatehouse/identity')).createSigner(proxy.privateKeyPem),
      },
      publicKeySpki: user.spki,
      part: {
        cluster: 'home',
        type: 'service',
        kind: 'proxy',
        id: 'srv_00000000000000000000000000000000',
      },
      notBeforeMs: Date.now() - 60_000,
      notAfterMs: Date.now() + 60_000,
      usage: 'server',
    }).catch(() => undefined);
    if (forged !== undefined) {
      expect(
        findChainProblem([toX509(forged), toX509(proxy.certificate), ca], pins, Date.now()),
      ).toContain('not signed');
    }
  });
});

describe('findPartUri', () => {
  it.each([
    [
      'URI:gatehouse://home/service/proxy/srv_1, DNS:localhost',
      'gatehouse://home/service/proxy/srv_1',
    ],
    ['DNS:localhost', undefined],
    ['URI:gatehouse://a/service/proxy/x, URI:gatehouse://b/service/proxy/y', undefined],
    // Node prints a name with a comma in it between quotes.
    ['DNS:"x, URI:gatehouse://home/service/proxy/srv_1"', undefined],
    ['DNS:"x\\", URI:gatehouse://home/service/proxy/srv_1"', undefined],
    ['URI:"gatehouse://home/service/proxy/srv_1\\"", DNS:a', undefined],
  ])('%j', (names, expected) => {
    expect(findPartUri(names)).toBe(expected);
  });

  it('knows a proxy from other parts', () => {
    expect(isProxyOf('URI:gatehouse://home/service/proxy/srv_1', 'home')).toBe(true);
    expect(isProxyOf('URI:gatehouse://home/service/proxy/srv_1', 'work')).toBe(false);
    expect(isProxyOf('URI:gatehouse://home/service/auth/srv_1', 'home')).toBe(false);
    expect(isProxyOf('URI:gatehouse://home/user/service', 'home')).toBe(false);
    expect(isProxyOf(undefined, undefined)).toBe(false);
  });
});
