import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { refusal, run, runLine, temporaryFolder } from '../test/tools.js';
import { createSigner, generateKeyPair } from './keys.js';
import { derToPem, pemToDer } from './pem.js';
import {
  createTestAuthorities,
  createTestTlsAuthority,
  issueTestAgent,
  issueTestService,
  issueTestUser,
  issueUncheckedTlsCertificate,
  type TestAuthorities,
  type TestTlsAuthority,
} from './testing.js';
import {
  createTlsAuthority,
  issueTlsCertificate,
  type TlsCertificateRequest,
} from './x509-issue.js';
import {
  caPin,
  verifyPartCertificate,
  verifyTlsCertificate,
  type PartCheck,
} from './x509-verify.js';

let authorities: TestAuthorities;

beforeAll(async () => {
  authorities = await createTestAuthorities();
});

function verifyPart(der: Buffer, check: Partial<PartCheck> = {}) {
  return verifyPartCertificate(der, {
    userAuthorities: [authorities.userTls.certificate],
    hostAuthorities: [authorities.hostTls.certificate],
    nowMs: Date.now(),
    ...check,
  });
}

async function issue(
  authority: TestTlsAuthority,
  changes: Partial<TlsCertificateRequest> = {},
): Promise<Buffer> {
  return issueTlsCertificate({
    authority,
    publicKeySpki: generateKeyPair('p256').spki,
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + 60_000,
    usage: 'both',
    ...changes,
  });
}

const proxyPart = { cluster: 'test', type: 'service', kind: 'proxy', id: 'srv_1' } as const;

/** What `openssl verify` says. */
function opensslVerify(authority: Buffer, leaf: Buffer, ...options: readonly string[]): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'ca.pem'), derToPem(authority, 'CERTIFICATE'));
  writeFileSync(join(folder, 'leaf.pem'), derToPem(leaf, 'CERTIFICATE'));
  return run(
    folder,
    'openssl',
    'verify',
    '-x509_strict',
    '-CAfile',
    'ca.pem',
    ...options,
    'leaf.pem',
  );
}

describe('X.509 certificates as OpenSSL sees them', () => {
  it.each(['ed25519', 'p256'] as const)(
    'a %s CA and its leaves pass -x509_strict',
    async (type) => {
      const authority = await createTestTlsAuthority('test ca', type);
      for (const publicKeySpki of [generateKeyPair('ed25519').spki, generateKeyPair('p256').spki]) {
        const leaf = await issue(authority, {
          publicKeySpki,
          part: proxyPart,
          dnsNames: ['proxy.test', '*.apps.test'],
          ipAddresses: ['127.0.0.1', '::1', '2001:db8::1:0:2', '::ffff:10.1.2.3'],
        });
        const options = ['-verify_hostname', 'x.apps.test', '-verify_ip', '2001:db8::1:0:2'];
        expect(
          opensslVerify(authority.certificate, leaf, '-purpose', 'sslserver', ...options),
        ).toContain(': OK');
        expect(
          opensslVerify(
            authority.certificate,
            leaf,
            '-purpose',
            'sslclient',
            '-verify_ip',
            '127.0.0.1',
          ),
        ).toContain(': OK');
        expect(new X509Certificate(leaf).subjectAltName).toBe(
          'URI:gatehouse://test/service/proxy/srv_1, DNS:proxy.test, DNS:*.apps.test, IP Address:127.0.0.1, ' +
            'IP Address:0:0:0:0:0:0:0:1, IP Address:2001:DB8:0:0:0:1:0:2, IP Address:0:0:0:0:0:FFFF:A01:203',
        );
      }
    },
  );

  it('keeps client and server apart', async () => {
    const leaf = await issue(authorities.hostTls, { part: proxyPart, usage: 'client' });
    expect(opensslVerify(authorities.hostTls.certificate, leaf, '-purpose', 'sslclient')).toContain(
      ': OK',
    );
    expect(() =>
      opensslVerify(authorities.hostTls.certificate, leaf, '-purpose', 'sslserver'),
    ).toThrow(/purpose/);
  });

  it('does not let a leaf issue', async () => {
    const alice = await issueTestUser(authorities);
    const signer = createSigner(alice.privateKeyPem);
    const forged = await issueUncheckedTlsCertificate({
      authority: { certificate: alice.tlsCertificate, signer },
      publicKeySpki: generateKeyPair('p256').spki,
      part: { cluster: 'test', type: 'user', name: 'root' },
      notBeforeMs: Date.now() - 1000,
      notAfterMs: Date.now() + 60_000,
      usage: 'client',
    });
    expect(() => opensslVerify(alice.tlsCertificate, forged, '-partial_chain')).toThrow(
      /CA|issuer/,
    );
  });

  it('says when it begins and ends, also beyond 2049, and has its own serial number', async () => {
    const leaf = await issue(authorities.hostTls, {
      part: proxyPart,
      notBeforeMs: Date.UTC(2026, 1, 3, 4, 5, 6, 789),
      notAfterMs: Date.UTC(2051, 1, 3, 4, 5, 6),
    });
    const parsed = new X509Certificate(leaf);
    expect([parsed.validFromDate.toISOString(), parsed.validToDate.toISOString()]).toEqual([
      '2026-02-03T04:05:06.000Z',
      '2051-02-03T04:05:06.000Z',
    ]);
    expect(parsed.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
    const other = await issue(authorities.hostTls, { part: proxyPart });
    expect(new X509Certificate(other).serialNumber).not.toBe(parsed.serialNumber);
  });

  it('carries the subject that a database maps', async () => {
    const leaf = await issue(authorities.dbClient, { commonName: 'reader@pg-1', usage: 'client' });
    expect(new X509Certificate(leaf).subject).toBe('CN=reader@pg-1');
    expect(new X509Certificate(leaf).subjectAltName).toBeUndefined();
  });

  it('is read by us as OpenSSL writes it', () => {
    const folder = temporaryFolder();
    runLine(
      folder,
      'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=ca -keyout ca.key -out ca.pem',
    );
    const [der = Buffer.alloc(0)] = pemToDer(run(folder, 'openssl', 'x509', '-in', 'ca.pem'));
    const spki = run(
      folder,
      'sh',
      '-c',
      'openssl x509 -in ca.pem -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum',
    );
    expect(caPin(der)).toBe(`sha256:${spki.slice(0, 64)}`);
  });
});

describe('verifyPartCertificate', () => {
  it('says what a certificate is', async () => {
    const user = await issueTestUser(authorities, { roles: ['dev'] });
    const verified = verifyPart(user.tlsCertificate, { usage: 'client' });
    expect(verified.part).toEqual({ cluster: 'test', type: 'user', name: 'alice' });
    expect(verified.identity).toEqual(user.identity);
    expect(verified.spki).toEqual(user.spki);
    expect(verified.fingerprint).toBe(
      new X509Certificate(user.tlsCertificate).fingerprint256.replaceAll(':', '').toLowerCase(),
    );
    const service = await issueTestService(authorities, 'tunnel', { dnsNames: ['tunnel.test'] });
    expect(verifyPart(service.certificate)).toMatchObject({
      part: service.part,
      dnsNames: ['localhost', 'tunnel.test'],
    });
    expect(verifyPart(service.certificate).identity).toBeUndefined();
    const agent = await issueTestAgent(authorities);
    expect(verifyPart(agent.certificate).part).toEqual(agent.part);
  });

  it('refuses expired and future certificates by the second', async () => {
    const notAfterMs = Math.floor(Date.now() / 1000) * 1000;
    const user = await issueTestUser(authorities, { validBeforeMs: notAfterMs });
    expect(verifyPart(user.tlsCertificate, { nowMs: notAfterMs - 1 }).part.type).toBe('user');
    expect(refusal(() => verifyPart(user.tlsCertificate, { nowMs: notAfterMs }))).toMatchObject({
      reason: 'expired',
    });
    const from = notAfterMs + 86_400_000;
    const future = await issueTestUser(authorities, {
      validAfterMs: from,
      validBeforeMs: from + 1000,
    });
    expect(refusal(() => verifyPart(future.tlsCertificate))).toMatchObject({
      reason: 'not_yet_valid',
    });
    const grace = { nowMs: notAfterMs + 60_000, toleranceMs: 120_000 };
    expect(verifyPart(user.tlsCertificate, grace).part.type).toBe('user');
  });

  it('refuses another CA, also one that took the name of ours', async () => {
    const stranger = await createTestTlsAuthority('elsewhere user_tls');
    const user = await issueTestUser({ ...authorities, userTls: { ...stranger } });
    expect(refusal(() => verifyPart(user.tlsCertificate))).toMatchObject({ reason: 'unknown_ca' });
    const impostor = await issueUncheckedTlsCertificate({
      authority: {
        certificate: forgeSubject(authorities.userTls.certificate, stranger),
        signer: stranger.signer,
      },
      publicKeySpki: user.spki,
      part: { cluster: 'test', type: 'user', name: 'alice' },
      notBeforeMs: Date.now() - 1000,
      notAfterMs: Date.now() + 60_000,
      usage: 'client',
    });
    expect(refusal(() => verifyPart(impostor))).toMatchObject({
      reason: 'unknown_ca',
      text: 'certificate is not accepted: its CA has not signed it',
    });
  });

  it('calls what OpenSSL makes by default a stranger’s, of version 1 as of version 3', () => {
    const folder = temporaryFolder();
    const sh = (command: string) => run(folder, 'sh', '-c', command);
    sh('openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ca -keyout ca.key -out ca.pem');
    sh('openssl req -newkey rsa:2048 -nodes -subj /CN=alice -keyout k.key -out k.csr');
    const v1 = sh('openssl x509 -req -in k.csr -CA ca.pem -CAkey ca.key -CAcreateserial');
    expect(
      sh('openssl x509 -req -in k.csr -CA ca.pem -CAkey ca.key | openssl x509 -noout -text'),
    ).toContain('Version: 1');
    const selfSigned = sh('cat ca.pem');
    for (const pem of [v1, selfSigned]) {
      const [der = Buffer.alloc(0)] = pemToDer(pem);
      expect(refusal(() => verifyPart(der))).toMatchObject({ reason: 'unknown_ca' });
    }
  });

  it('calls a retired CA of the same kind unknown', async () => {
    const retired = await createTestTlsAuthority('test user_tls 0a1b2c3d');
    const user = await issueTestUser({ ...authorities, userTls: retired });
    expect(refusal(() => verifyPart(user.tlsCertificate))).toMatchObject({ reason: 'unknown_ca' });
    const during = [authorities.userTls.certificate, retired.certificate];
    expect(verifyPart(user.tlsCertificate, { userAuthorities: during }).part.type).toBe('user');
  });

  // CRT-02
  it('refuses a certificate that a person issued with her own', async () => {
    const alice = await issueTestUser(authorities);
    const own = { certificate: alice.tlsCertificate, signer: createSigner(alice.privateKeyPem) };
    const forged = await issueUncheckedTlsCertificate({
      authority: own,
      publicKeySpki: alice.spki,
      part: { cluster: 'test', type: 'service', kind: 'proxy', id: 'srv_1' },
      notBeforeMs: Date.now() - 1000,
      notAfterMs: Date.now() + 60_000,
      usage: 'both',
    });
    const expected = {
      reason: 'certificate_as_ca',
      text: 'certificate is not accepted: signature key is a certificate',
    };
    expect(refusal(() => verifyPart(forged))).toMatchObject(expected);
    expect(refusal(() => verifyPart(forged, { chain: [alice.tlsCertificate] }))).toMatchObject(
      expected,
    );
    // Nor does it help to be listed among the authorities by mistake.
    expect(
      refusal(() => verifyPart(forged, { hostAuthorities: [alice.tlsCertificate] })),
    ).toMatchObject(expected);
    await expect(issueTlsCertificate({ ...leafFor(own), part: proxyPart })).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
    });
  });

  // CRT-08
  it('refuses a kind of part that the CA does not speak for', async () => {
    const identity = { v: 1, user: 'alice', roles: [], traits: {}, loginId: 'l' } as const;
    const userByHost = await issue(authorities.hostTls, {
      part: { cluster: 'test', type: 'user', name: 'alice' },
      identity,
    });
    expect(refusal(() => verifyPart(userByHost))).toMatchObject({ reason: 'wrong_kind' });
    const proxyByUser = await issue(authorities.userTls, { part: proxyPart });
    expect(refusal(() => verifyPart(proxyByUser))).toMatchObject({ reason: 'wrong_kind' });
    const database = await issue(authorities.dbClient, { commonName: 'reader@pg-1' });
    expect(refusal(() => verifyPart(database))).toMatchObject({ reason: 'wrong_kind' });
    const nameless = await issue(authorities.hostTls, { dnsNames: ['proxy.test'] });
    expect(refusal(() => verifyPart(nameless))).toMatchObject({ reason: 'wrong_kind' });
    expect(refusal(() => verifyPart(authorities.hostTls.certificate))).toMatchObject({
      reason: 'wrong_kind',
    });
    const user = await issueTestUser(authorities);
    const hostOnly = { userAuthorities: [] };
    expect(refusal(() => verifyPart(user.tlsCertificate, hostOnly))).toMatchObject({
      reason: 'wrong_kind',
    });
  });

  it('refuses a certificate for the other side of a connection', async () => {
    const user = await issueTestUser(authorities);
    expect(refusal(() => verifyPart(user.tlsCertificate, { usage: 'server' }))).toMatchObject({
      reason: 'wrong_kind',
    });
  });

  // CRT-10
  it.each([
    ['no payload', null],
    ['an unknown version', '{"v":2,"user":"alice","roles":[],"traits":{},"loginId":"lgn_1"}'],
    ['broken JSON', '{'],
    ['a key twice', '{"v":1,"v":1,"user":"alice","roles":[],"traits":{},"loginId":"lgn_1"}'],
    [
      '64 KiB',
      JSON.stringify({
        v: 1,
        user: 'alice',
        roles: [],
        traits: {},
        loginId: 'l',
        x: 'x'.repeat(65_536),
      }),
    ],
  ])('refuses a correctly signed user certificate with %s', async (_what, payload) => {
    const user = await issueTestUser(authorities, { payload });
    expect(refusal(() => verifyPart(user.tlsCertificate))).toMatchObject({
      code: 'IDENTITY_INVALID',
      reason: 'identity',
    });
  });

  it('refuses a payload of somebody else, and one that is not a person’s', async () => {
    const other = '{"v":1,"user":"root","roles":[],"traits":{},"loginId":"lgn_1"}';
    const user = await issueTestUser(authorities, { payload: other });
    expect(refusal(() => verifyPart(user.tlsCertificate))).toMatchObject({ reason: 'principal' });
    const service = await issueUncheckedTlsCertificate({
      ...leafFor(authorities.hostTls),
      part: proxyPart,
      identityJson: other,
    });
    expect(refusal(() => verifyPart(service))).toMatchObject({ reason: 'identity' });
    await expect(
      issue(authorities.userTls, { part: { cluster: 'test', type: 'user', name: 'a' } }),
    ).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
    });
  });
});

/** The leaf request without what a test sets itself. */
function leafFor(authority: TlsCertificateRequest['authority']): TlsCertificateRequest {
  return {
    authority,
    publicKeySpki: generateKeyPair('p256').spki,
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + 60_000,
    usage: 'both',
  };
}

/** A certificate with the subject of `certificate` and the key of `impostor`: what a stranger makes to look like our CA. */
function forgeSubject(certificate: Buffer, impostor: TestTlsAuthority): Buffer {
  const ours = new X509Certificate(certificate).publicKey.export({ format: 'der', type: 'spki' });
  const theirs = impostor.signer.publicKeySpki;
  const at = certificate.indexOf(ours);
  return Buffer.concat([
    certificate.subarray(0, at),
    theirs,
    certificate.subarray(at + ours.length),
  ]);
}

describe('verifyTlsCertificate', () => {
  it('leaves a certificate without a part to its caller', async () => {
    const leaf = await issue(authorities.dbClient, { commonName: 'reader@pg-1' });
    const verified = verifyTlsCertificate(leaf, {
      authorities: [authorities.dbClient.certificate],
      nowMs: Date.now(),
    });
    expect(verified).toMatchObject({ part: undefined, commonName: 'reader@pg-1' });
  });

  it('does not take the certificate of a CA for one of a part', () => {
    const { certificate } = authorities.hostTls;
    expect(
      refusal(() =>
        verifyTlsCertificate(certificate, { authorities: [certificate], nowMs: Date.now() }),
      ),
    ).toEqual({
      code: 'CERTIFICATE_REFUSED',
      reason: 'wrong_kind',
      text: 'certificate is not accepted: it is the certificate of an authority',
    });
  });

  it('does not accept a CA beyond its own end', async () => {
    const { privateKeyPem } = generateKeyPair('p256');
    const nowMs = Date.now();
    const certificate = await createTlsAuthority({
      commonName: 'old',
      privateKeyPem,
      nowMs: nowMs - 86_400_000 * 2,
      days: 1,
    });
    const leaf = await issue(
      { privateKeyPem, certificate, signer: createSigner(privateKeyPem) },
      { part: proxyPart },
    );
    expect(
      refusal(() => verifyTlsCertificate(leaf, { authorities: [certificate], nowMs })),
    ).toMatchObject({
      reason: 'unknown_ca',
    });
  });

  it('refuses names and times that cannot be written', async () => {
    const { hostTls } = authorities;
    for (const changes of [
      { dnsNames: ['a b'] },
      { dnsNames: ['evil.test\0.test'] },
      { dnsNames: [''] },
      { dnsNames: ['x'], ipAddresses: ['localhost'] },
      { dnsNames: ['x'], ipAddresses: ['fe80::1%eth0'] },
      { dnsNames: ['x'], notAfterMs: 0 },
      { dnsNames: ['x'], notAfterMs: Number.NaN },
      {},
    ]) {
      await expect(issue(hostTls, changes)).rejects.toMatchObject({ code: 'CERTIFICATE_REFUSED' });
    }
    const other = { ...hostTls, signer: authorities.userTls.signer };
    await expect(issue(other, { part: proxyPart })).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
    });
  });
});

describe('PEM', () => {
  it('reads every block of a file and refuses broken ones', () => {
    const [a, b] = [authorities.userTls.certificate, authorities.hostTls.certificate];
    const text = `${derToPem(a, 'CERTIFICATE')}# between\r\n${derToPem(b, 'CERTIFICATE').replaceAll('\n', '\r\n')}`;
    expect(pemToDer(text)).toEqual([a, b]);
    expect(pemToDer('')).toEqual([]);
    for (const bad of [
      '-----BEGIN CERTIFICATE-----\nAA',
      '-----BEGIN X-----\n!\n-----END X-----',
      'x'.repeat(2 ** 21),
    ]) {
      expect(refusal(() => pemToDer(bad))).toMatchObject({ code: 'ENCODING_INVALID' });
    }
  });
});
