/** Nobody gets in with what the CA did not sign: every mutation is refused, and refused in our own words. */
import { GatehouseError } from '@gatehouse/kit/errors';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

import { signGrant, verifyGrant } from './grant.js';
import { verifySshHostCertificate, verifySshUserCertificate } from './ssh-verify.js';
import {
  createTestAuthorities,
  createTestSshAuthority,
  createTestTlsAuthority,
  issueTestHost,
  issueTestService,
  issueTestUser,
  type TestAuthorities,
} from './testing.js';
import { verifyTlsCertificate } from './x509-verify.js';

const mutations = 20_000;

let ed25519: TestAuthorities;
let p256: TestAuthorities;

beforeAll(async () => {
  ed25519 = {
    ...(await createTestAuthorities()),
    userTls: await createTestTlsAuthority('test user_tls', 'ed25519'),
  };
  p256 = { ...(await createTestAuthorities()), userSsh: createTestSshAuthority('p256') };
});

/** Bits, bytes, lengths, cuts, splices and repeats. */
function mutationsOf(original: Buffer): fc.Arbitrary<Buffer> {
  const at = fc.nat(original.length - 1);
  const piece = fc.uint8Array({ maxLength: 8 });
  return fc
    .oneof(
      fc.tuple(at, fc.nat(7)).map(([index, bit]) => {
        const copy = Buffer.from(original);
        copy[index] = (copy[index] ?? 0) ^ (1 << bit);
        return copy;
      }),
      fc
        .tuple(at, fc.nat(255))
        .map(([index, byte]) => Buffer.from(original).fill(byte, index, index + 1)),
      fc
        .tuple(at, fc.nat(16), piece)
        .map(([index, drop, bytes]) =>
          Buffer.concat([original.subarray(0, index), bytes, original.subarray(index + drop)]),
        ),
      at.map((index) => original.subarray(0, index)),
      piece.map((bytes) => Buffer.concat([original, bytes])),
      fc
        .tuple(at, at, at)
        .map(([from, to, target]) =>
          Buffer.concat([
            original.subarray(0, target),
            original.subarray(from, to),
            original.subarray(target),
          ]),
        ),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    )
    .filter((mutation) => !mutation.equals(original));
}

/** Counts acceptances instead of throwing, so that one run shows them all. */
function countAccepted(
  original: Buffer,
  accept: (input: Buffer) => unknown,
  numRuns = mutations,
): number {
  expect(() => accept(original)).not.toThrow();
  let accepted = 0;
  fc.assert(
    fc.property(mutationsOf(original), (mutation) => {
      try {
        accept(mutation);
        accepted += 1;
      } catch (thrown) {
        if (!(thrown instanceof GatehouseError)) throw thrown;
      }
    }),
    { numRuns },
  );
  return accepted;
}

describe('of many mutations none is accepted, and only our own errors are thrown:', () => {
  it('an Ed25519 user certificate', async () => {
    const { sshCertificate } = await issueTestUser(ed25519, { keyType: 'ed25519' });
    const check = { authorities: [ed25519.userSsh.publicKey], nowMs: Date.now() };
    expect(countAccepted(sshCertificate, (blob) => verifySshUserCertificate(blob, check))).toBe(0);
  });

  it('a P-256 user certificate under a P-256 CA', async () => {
    const { sshCertificate } = await issueTestUser(p256, { keyType: 'p256' });
    const check = { authorities: [p256.userSsh.publicKey], nowMs: Date.now() };
    expect(
      countAccepted(sshCertificate, (blob) => verifySshUserCertificate(blob, check), 5000),
    ).toBe(0);
  });

  it('a host certificate', async () => {
    const { certificate } = await issueTestHost(ed25519, ['web-1']);
    const check = {
      authorities: [ed25519.hostSsh.publicKey],
      nowMs: Date.now(),
      principal: 'web-1',
    };
    expect(countAccepted(certificate, (blob) => verifySshHostCertificate(blob, check), 5000)).toBe(
      0,
    );
  });

  it('an X.509 user certificate under an Ed25519 CA', async () => {
    const { tlsCertificate } = await issueTestUser(ed25519);
    const check = { authorities: [ed25519.userTls.certificate], nowMs: Date.now() };
    expect(
      countAccepted(tlsCertificate, (der) => verifyTlsCertificate(der, { ...check, chain: [der] })),
    ).toBe(0);
  });

  it('an X.509 service certificate under a P-256 CA', async () => {
    const { certificate } = await issueTestService(p256, 'proxy');
    const check = { authorities: [p256.hostTls.certificate], nowMs: Date.now() };
    expect(countAccepted(certificate, (der) => verifyTlsCertificate(der, check), 5000)).toBe(0);
  });

  it('a grant', async () => {
    const proxy = await issueTestService(p256, 'proxy');
    const jws = await signGrant(
      {
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
      },
      proxy,
    );
    const check = {
      hostAuthorities: [p256.hostTls.certificate],
      nowMs: Date.now(),
      agentId: 'agt_1',
      isUsed: () => false,
    };
    const accept = (input: Buffer) => verifyGrant(input.toString('latin1'), check);
    expect(countAccepted(Buffer.from(jws), accept)).toBe(0);
  });
});
