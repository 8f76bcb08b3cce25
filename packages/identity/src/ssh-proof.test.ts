import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { refusal, run, temporaryFolder } from '../test/tools.js';
import { issueSshCertificate } from './ssh-certificate.js';
import { parseSshPublicKey } from './ssh-keys.js';
import { verifySshUserProof, type SshProofCheck, type SshUserProof } from './ssh-proof.js';
import { signSsh, verifySshSignature } from './ssh-signature.js';
import { encodeSshString } from './ssh-wire.js';
import {
  createTestAuthorities,
  issueTestUser,
  type TestAuthorities,
  type TestUser,
} from './testing.js';

let authorities: TestAuthorities;
let alice: TestUser;

beforeAll(async () => {
  authorities = await createTestAuthorities();
  alice = await issueTestUser(authorities, { keyType: 'ed25519' });
});

interface Request {
  readonly sessionId: Buffer;
  readonly type: number;
  readonly user: string;
  readonly service: string;
  readonly method: string;
  readonly hasSignature: number;
  readonly algorithm: string;
  readonly certificate: Buffer;
}

function encodeRequest(changes: Partial<Request> = {}): Buffer {
  const request: Request = {
    sessionId: Buffer.alloc(32, 5),
    type: 50,
    user: 'root@web-1',
    service: 'ssh-connection',
    method: 'publickey',
    hasSignature: 1,
    algorithm: 'ssh-ed25519-cert-v01@openssh.com',
    certificate: alice.sshCertificate,
    ...changes,
  };
  return Buffer.concat([
    encodeSshString(request.sessionId),
    Buffer.of(request.type),
    encodeSshString(request.user),
    encodeSshString(request.service),
    encodeSshString(request.method),
    Buffer.of(request.hasSignature),
    encodeSshString(request.algorithm),
    encodeSshString(request.certificate),
  ]);
}

function prove(signedData: Buffer, user: TestUser = alice): SshUserProof {
  const signature = signSsh(createPrivateKey(user.privateKeyPem), signedData);
  return { certificate: user.sshCertificate, signedData, signature };
}

function verify(proof: SshUserProof, check: Partial<SshProofCheck> = {}) {
  return verifySshUserProof(proof, {
    authorities: [authorities.userSsh.publicKey],
    nowMs: Date.now(),
    ...check,
  });
}

describe('signSsh', () => {
  it('writes every number of a P-256 signature in its shortest form', async () => {
    const user = await issueTestUser(authorities, { keyType: 'p256' });
    const key = createPrivateKey(user.privateKeyPem);
    for (let round = 0; round < 600; round += 1) {
      const data = Buffer.from([round >> 8, round]);
      expect(verifySshSignature(user.sshPublicKey, data, signSsh(key, data))).toBe(true);
    }
  });
});

describe('verifySshUserProof', () => {
  it('accepts what an SSH client signed and says for which session and user', () => {
    const verified = verify(prove(encodeRequest()));
    expect(verified).toEqual({
      identity: alice.identity,
      sshSessionId: Buffer.alloc(32, 5),
      userName: 'root@web-1',
      validBeforeMs: verified.validBeforeMs,
    });
  });

  it('accepts a P-256 key', async () => {
    const user = await issueTestUser(authorities, { keyType: 'p256' });
    const algorithm = 'ecdsa-sha2-nistp256-cert-v01@openssh.com';
    expect(
      verify(prove(encodeRequest({ algorithm, certificate: user.sshCertificate }), user)).identity
        .user,
    ).toBe('alice');
  });

  it('accepts an RSA key with SHA-2 and refuses it with SHA-1', async () => {
    const folder = temporaryFolder();
    run(folder, 'ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-m', 'PEM', '-N', '', '-f', 'key');
    const key = createPrivateKey(readFileSync(join(folder, 'key'), 'utf8'));
    const certificate = await issueSshCertificate({
      type: 'user',
      publicKey: parseSshPublicKey(readFileSync(join(folder, 'key.pub'), 'utf8')),
      serial: 1n,
      keyId: 'alice',
      principals: ['alice'],
      validAfterMs: Date.now() - 1000,
      validBeforeMs: Date.now() + 60_000,
      identity: alice.identity,
      signer: authorities.userSsh.signer,
    });
    const proveBy = (name: string, hash: string) => {
      const signedData = encodeRequest({ certificate, algorithm: `${name}-cert-v01@openssh.com` });
      const signature = Buffer.concat([
        encodeSshString(name),
        encodeSshString(sign(hash, signedData, key)),
      ]);
      return { certificate, signedData, signature };
    };
    expect(verify(proveBy('rsa-sha2-512', 'sha512')).identity.user).toBe('alice');
    expect(verify(proveBy('rsa-sha2-256', 'sha256')).identity.user).toBe('alice');
    expect(refusal(() => verify(proveBy('ssh-rsa', 'sha1')))).toMatchObject({
      code: 'PROOF_REFUSED',
    });
    expect(refusal(() => verify(proveBy('rsa-sha2-256', 'sha1')))).toMatchObject({
      reason: 'signature',
    });
  });

  it('refuses one flipped bit anywhere in what was signed or in the signature', () => {
    const proof = prove(encodeRequest());
    for (let index = 0; index < proof.signedData.length; index += 7) {
      const signedData = Buffer.from(proof.signedData);
      signedData[index] = (signedData[index] ?? 0) ^ 1;
      expect(refusal(() => verify({ ...proof, signedData })).code).toBe('PROOF_REFUSED');
    }
    for (let index = 0; index < proof.signature.length; index += 1) {
      const signature = Buffer.from(proof.signature);
      signature[index] = (signature[index] ?? 0) ^ 1;
      expect(refusal(() => verify({ ...proof, signature })).code).toBe('PROOF_REFUSED');
    }
  });

  // A signature over something else must not be usable as a login.
  it.each([
    ['a short session id', { sessionId: Buffer.alloc(16) }],
    ['another message', { type: 80 }],
    ['another service', { service: 'ssh-userauth' }],
    ['another method', { method: 'hostbased' }],
    ['a question for the key', { hasSignature: 0 }],
    ['another algorithm', { algorithm: 'ssh-ed25519' }],
    ['the plain key instead of the certificate', { certificate: Buffer.alloc(51) }],
  ])('refuses a signature over %s', (_what, changes) => {
    expect(refusal(() => verify(prove(encodeRequest(changes)))).code).toBe('PROOF_REFUSED');
  });

  it('refuses the signature of one person with the certificate of another', async () => {
    const mallory = await issueTestUser(authorities, { user: 'mallory' });
    const algorithm = 'ecdsa-sha2-nistp256-cert-v01@openssh.com';
    const hers = prove(encodeRequest({ algorithm, certificate: mallory.sshCertificate }), mallory);
    expect(verify(hers).identity.user).toBe('mallory');
    expect(refusal(() => verify({ ...hers, certificate: alice.sshCertificate }))).toMatchObject({
      reason: 'signature',
    });
    const asAlice = prove(encodeRequest({ algorithm }), mallory);
    expect(refusal(() => verify({ ...asAlice, certificate: alice.sshCertificate }))).toMatchObject({
      code: 'PROOF_REFUSED',
    });
  });

  it('refuses a proof with a certificate that does not stand', () => {
    const proof = prove(encodeRequest());
    expect(refusal(() => verify(proof, { nowMs: Date.now() + 86_400_000 }))).toMatchObject({
      reason: 'expired',
    });
    expect(
      refusal(() => verify(proof, { authorities: [authorities.hostSsh.publicKey] })),
    ).toMatchObject({
      reason: 'unknown_ca',
    });
  });

  it('checks an address pin where the address is given', async () => {
    const pinned = await issueTestUser(authorities, { sourceIp: '10.0.0.1' });
    const algorithm = 'ecdsa-sha2-nistp256-cert-v01@openssh.com';
    const proof = prove(encodeRequest({ algorithm, certificate: pinned.sshCertificate }), pinned);
    expect(verify(proof).identity.sourceIp).toBe('10.0.0.1');
    expect(verify(proof, { clientAddress: '10.0.0.1:5' }).identity.sourceIp).toBe('10.0.0.1');
    expect(refusal(() => verify(proof, { clientAddress: '10.0.0.2:5' }))).toMatchObject({
      reason: 'source_ip',
    });
  });
});
