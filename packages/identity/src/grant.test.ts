import { createPrivateKey, createPublicKey, sign, X509Certificate } from 'node:crypto';

import { compactVerify, CompactSign } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';

import { refusal } from '../test/tools.js';
import { signGrant, verifyGrant, type Grant, type GrantCheck } from './grant.js';
import { generateKeyPair } from './keys.js';
import {
  createTestAuthorities,
  createTestTlsAuthority,
  issueTestAgent,
  issueTestService,
  issueTestUser,
  type TestAuthorities,
  type TestPart,
} from './testing.js';
import { issueTlsCertificate } from './x509-issue.js';

let authorities: TestAuthorities;
let proxy: TestPart;

beforeAll(async () => {
  authorities = await createTestAuthorities();
  proxy = await issueTestService(authorities, 'proxy');
});

function grantFor(changes: Partial<Grant> = {}): Grant {
  return {
    v: 1,
    agent: 'agt_1',
    session: 'ses_1',
    target: 'web-1',
    protocol: 'ssh',
    principal: 'root',
    user: 'alice',
    mode: 'inspected',
    exp: Math.floor(Date.now() / 1000) + 30,
    jti: 'jti-00000001',
    options: { portForwarding: 'none' },
    ...changes,
  };
}

function verify(jws: string, check: Partial<GrantCheck> = {}) {
  return verifyGrant(jws, {
    hostAuthorities: [authorities.hostTls.certificate],
    nowMs: Date.now(),
    agentId: 'agt_1',
    isUsed: () => false,
    ...check,
  });
}

/** A grant as a dishonest signer would make it, by another implementation. */
async function forge(
  payload: string,
  header: Record<string, unknown>,
  privateKeyPem = proxy.privateKeyPem,
) {
  return new CompactSign(Buffer.from(payload))
    .setProtectedHeader({ alg: 'ES256', ...header })
    .sign(createPrivateKey(privateKeyPem));
}

describe('grants', () => {
  it('are verified as they were signed, and name the proxy that signed', async () => {
    const grant = grantFor();
    expect(verify(await signGrant(grant, proxy))).toEqual({ grant, issuer: proxy.part });
  });

  it('are ordinary JWS for another implementation, with ES256 and EdDSA', async () => {
    const { privateKeyPem, spki } = generateKeyPair('ed25519');
    const certificate = await issueTlsCertificate({
      authority: authorities.hostTls,
      publicKeySpki: spki,
      part: proxy.part,
      notBeforeMs: Date.now() - 1000,
      notAfterMs: Date.now() + 60_000,
      usage: 'both',
    });
    for (const [signer, alg] of [
      [proxy, 'ES256'],
      [{ privateKeyPem, certificate }, 'EdDSA'],
    ] as const) {
      const jws = await signGrant(grantFor(), signer);
      const { payload, protectedHeader } = await compactVerify(
        jws,
        createPublicKey(signer.privateKeyPem),
      );
      expect(JSON.parse(Buffer.from(payload).toString())).toEqual(grantFor());
      expect(protectedHeader.alg).toBe(alg);
      expect(
        new X509Certificate(Buffer.from(protectedHeader.x5c?.[0] ?? '', 'base64')).raw,
      ).toEqual(signer.certificate);
      expect(verify(jws).grant.user).toBe('alice');
    }
  });

  it('are verified as another implementation signs them', async () => {
    const header = { typ: 'gatehouse-grant+jws', x5c: [proxy.certificate.toString('base64')] };
    expect(verify(await forge(JSON.stringify(grantFor()), header)).issuer).toEqual(proxy.part);
  });

  it('work once', async () => {
    const used = new Map<string, number>();
    const isUsed = (jti: string, forgetAtMs: number) => {
      const seen = used.has(jti);
      used.set(jti, forgetAtMs);
      return seen;
    };
    const grant = grantFor();
    const jws = await signGrant(grant, proxy);
    expect(verify(jws, { isUsed }).grant.jti).toBe(grant.jti);
    expect(refusal(() => verify(jws, { isUsed }))).toMatchObject({
      code: 'GRANT_REFUSED',
      reason: 'replayed',
    });
    // Forgotten only once it is refused for its age.
    const forgetAtMs = used.get(grant.jti) ?? 0;
    expect(refusal(() => verify(jws, { nowMs: forgetAtMs }))).toMatchObject({ reason: 'expired' });
    expect(verify(jws, { nowMs: forgetAtMs - 1 }).grant.jti).toBe(grant.jti);
  });

  it('note a jti only when all else is in order', async () => {
    const isUsed = () => {
      throw new Error('asked too early');
    };
    const jws = await signGrant(grantFor({ agent: 'agt_2' }), proxy);
    expect(refusal(() => verify(jws, { isUsed }))).toMatchObject({ reason: 'wrong_kind' });
  });

  it('are for one agent', async () => {
    const jws = await signGrant(grantFor(), proxy);
    expect(refusal(() => verify(jws, { agentId: 'agt_2' }))).toMatchObject({
      reason: 'wrong_kind',
    });
  });

  it('end, and cannot be made to last', async () => {
    const grant = grantFor();
    const jws = await signGrant(grant, proxy);
    expect(refusal(() => verify(jws, { nowMs: grant.exp * 1000 + 120_000 }))).toMatchObject({
      reason: 'expired',
    });
    const long = await signGrant(grantFor({ exp: grant.exp + 600 }), proxy);
    expect(refusal(() => verify(long))).toMatchObject({ reason: 'malformed' });
  });

  it('are refused from anything but a proxy of this cluster’s host_tls', async () => {
    const agent = await signGrant(grantFor(), await issueTestAgent(authorities));
    const tunnel = await signGrant(grantFor(), await issueTestService(authorities, 'tunnel'));
    for (const jws of [agent, tunnel])
      expect(refusal(() => verify(jws))).toMatchObject({ reason: 'wrong_kind' });
    const alice = await issueTestUser(authorities);
    const hers = await signGrant(grantFor(), {
      privateKeyPem: alice.privateKeyPem,
      certificate: alice.tlsCertificate,
    });
    expect(refusal(() => verify(hers))).toMatchObject({ reason: 'wrong_kind' });
    const hostTls = await createTestTlsAuthority('test host_tls');
    const foreign = await signGrant(
      grantFor(),
      await issueTestService({ ...authorities, hostTls }, 'proxy'),
    );
    expect(refusal(() => verify(foreign))).toMatchObject({ reason: 'unknown_ca' });
  });

  it('allow the proxy’s certificate to have ended at most two minutes ago', async () => {
    const ended = (agoMs: number) =>
      issueTestService(authorities, 'proxy', { validBeforeMs: Date.now() - agoMs });
    const justNow = await signGrant(grantFor(), await ended(60_000));
    expect(verify(justNow).grant.user).toBe('alice');
    const longAgo = await signGrant(
      grantFor(),
      await issueTestService(authorities, 'proxy', {
        validAfterMs: Date.now() - 3_600_000,
        validBeforeMs: Date.now() - 180_000,
      }),
    );
    expect(refusal(() => verify(longAgo))).toMatchObject({ reason: 'expired' });
  });

  // A stolen certificate is public; the key is not.
  it('are refused when another key than the certificate’s signed', async () => {
    const signer = {
      privateKeyPem: generateKeyPair('p256').privateKeyPem,
      certificate: proxy.certificate,
    };
    const jws = await signGrant(grantFor(), signer);
    expect(refusal(() => verify(jws))).toMatchObject({ reason: 'signature' });
    const otherKind = {
      privateKeyPem: generateKeyPair('ed25519').privateKeyPem,
      certificate: proxy.certificate,
    };
    const confused = await signGrant(grantFor(), otherKind);
    expect(refusal(() => verify(confused))).toMatchObject({ reason: 'signature' });
  });

  it('are refused with another header: no type, none as algorithm, two certificates, further fields', async () => {
    const payload = JSON.stringify(grantFor());
    const x5c = [proxy.certificate.toString('base64')];
    const typ = 'gatehouse-grant+jws';
    for (const header of [
      { x5c },
      { typ },
      { typ, x5c: [] },
      { typ, x5c: [...x5c, ...x5c] },
      { typ, x5c, kid: '1' },
    ]) {
      const jws = await forge(payload, header);
      expect(refusal(() => verify(jws))).toMatchObject({ reason: 'malformed' });
    }
    const unsigned = [{ alg: 'none', typ, x5c }, grantFor()].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    );
    expect(refusal(() => verify(`${unsigned.join('.')}.`))).toMatchObject({ reason: 'malformed' });
    const hmac = await forge(payload, { typ, x5c }).then((jws) => jws.replace(/\.[^.]*$/, '.AAAA'));
    expect(refusal(() => verify(hmac))).toMatchObject({ reason: 'signature' });
  });

  it('are refused when the header names another algorithm than the one that signed', async () => {
    const [header = '', payload = ''] = (await signGrant(grantFor(), proxy)).split('.');
    const json = Buffer.from(header, 'base64url').toString();
    const resign = (text: string) => {
      const input = `${Buffer.from(text).toString('base64url')}.${payload}`;
      const key = {
        key: createPrivateKey(proxy.privateKeyPem),
        dsaEncoding: 'ieee-p1363',
      } as const;
      return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
    };
    expect(verify(resign(json)).grant.user).toBe('alice');
    const confused = resign(json.replace('ES256', 'EdDSA'));
    expect(refusal(() => verify(confused))).toMatchObject({ reason: 'signature' });
  });

  it('are refused with a payload that leaves something open', async () => {
    const header = { typ: 'gatehouse-grant+jws', x5c: [proxy.certificate.toString('base64')] };
    const json = JSON.stringify(grantFor());
    for (const payload of [
      json.replace('"v":1', '"v":2'),
      json.replace('"principal":"root"', '"principal":"root","principal":"alice"'),
      json.replace('"v":1', '"v":1,"later":true'),
      json.replace('"mode":"inspected"', '"mode":"other"'),
      json.replace('"jti":"jti-00000001"', '"jti":""'),
      json.replace(/"exp":\d+/, '"exp":"9999999999"'),
      json.replace(/"exp":\d+,/, ''),
      '[]',
      '',
    ]) {
      const jws = await forge(payload, header);
      expect(refusal(() => verify(jws))).toMatchObject({ reason: 'malformed' });
    }
  });

  it('are refused in any other spelling of the same bytes', async () => {
    const jws = await signGrant(grantFor(), proxy);
    for (const bad of [
      `${jws}=`,
      `${jws}.`,
      ` ${jws}`,
      `${jws}\n`,
      jws.replace('.', '..'),
      '',
      '..',
      'x'.repeat(70_000),
    ]) {
      expect(refusal(() => verify(bad)).code).toBe('GRANT_REFUSED');
    }
  });

  it('are not signed when nobody would take them', async () => {
    await expect(signGrant(grantFor({ jti: 'x' }), proxy)).rejects.toMatchObject({
      code: 'GRANT_REFUSED',
    });
    const large = grantFor({ options: { x: 'x'.repeat(20_000) } });
    await expect(signGrant(large, proxy)).rejects.toMatchObject({ code: 'GRANT_REFUSED' });
  });
});
