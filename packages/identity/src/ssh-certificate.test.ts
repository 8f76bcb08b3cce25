import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { refusal, run, runLine, temporaryFolder } from '../test/tools.js';
import type { Identity } from './identity.js';
import { createSigner, generateKeyPair } from './keys.js';
import { issueSshCertificate, parseSshCertificate } from './ssh-certificate.js';
import {
  formatSshPublicKey,
  parseSshPublicKey,
  sshFingerprint,
  sshPublicKey,
  sshPublicKeyFromSpki,
} from './ssh-keys.js';
import { verifySshSignature } from './ssh-signature.js';
import { verifySshHostCertificate } from './ssh-verify.js';

const keyTypes = [
  ['ed25519', []],
  ['ecdsa', ['-b', '256']],
  ['rsa', ['-b', '2048']],
] as const;

const identity: Identity = { v: 1, user: 'alice', roles: [], traits: {}, loginId: 'lgn_1' };

describe('certificates made by ssh-keygen', () => {
  for (const [caType, caOptions] of keyTypes) {
    it.each(keyTypes)(`reads and verifies a %s key under a ${caType} CA`, (type, options) => {
      const folder = temporaryFolder();
      run(folder, 'ssh-keygen', '-q', '-t', caType, ...caOptions, '-N', '', '-f', 'ca');
      run(folder, 'ssh-keygen', '-q', '-t', type, ...options, '-N', '', '-f', 'key');
      runLine(
        folder,
        'ssh-keygen -q -s ca -n alice,root -z 18446744073709551615 -V 20260101000000Z:20260102000000Z ' +
          '-O source-address=127.0.0.0/8 -O no-pty -O extension:identity-v1@gatehouse={"v":1} -I',
        'alice key',
        'key.pub',
      );
      const blob = parseSshPublicKey(readFileSync(join(folder, 'key-cert.pub'), 'utf8'));
      const ca = parseSshPublicKey(readFileSync(join(folder, 'ca.pub'), 'utf8'));
      const certificate = parseSshCertificate(blob);
      expect(certificate).toMatchObject({
        type: 'user',
        serial: 2n ** 64n - 1n,
        keyId: 'alice key',
        principals: ['alice', 'root'],
        validAfterMs: Date.UTC(2026, 0, 1),
        validBeforeMs: Date.UTC(2026, 0, 2),
      });
      expect(Object.fromEntries(certificate.criticalOptions)).toEqual({
        'source-address': '127.0.0.0/8',
      });
      expect(certificate.extensions.get('identity-v1@gatehouse')).toBe('{"v":1}');
      expect(certificate.extensions.get('permit-agent-forwarding')).toBe('');
      expect(certificate.extensions.has('permit-pty')).toBe(false);
      expect(certificate.publicKey).toEqual(
        parseSshPublicKey(readFileSync(join(folder, 'key.pub'), 'utf8')),
      );
      expect(certificate.signatureKey).toEqual(ca);
      expect(verifySshSignature(ca, certificate.signedBytes, certificate.signature)).toBe(true);
    });
  }

  it('refuses a CA signature with SHA-1', () => {
    const folder = temporaryFolder();
    run(folder, 'ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', 'ca');
    run(folder, 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', 'key');
    const check = { nowMs: Date.now(), principal: 'web-1' };
    const verify = () => {
      const blob = parseSshPublicKey(readFileSync(join(folder, 'key-cert.pub'), 'utf8'));
      const ca = parseSshPublicKey(readFileSync(join(folder, 'ca.pub'), 'utf8'));
      return verifySshHostCertificate(blob, { ...check, authorities: [ca] });
    };
    run(
      folder,
      'ssh-keygen',
      '-q',
      '-s',
      'ca',
      '-t',
      'rsa-sha2-256',
      '-h',
      '-I',
      'x',
      '-n',
      'web-1',
      'key.pub',
    );
    expect(verify().principals).toEqual(['web-1']);
    run(
      folder,
      'ssh-keygen',
      '-q',
      '-s',
      'ca',
      '-t',
      'ssh-rsa',
      '-h',
      '-I',
      'x',
      '-n',
      'web-1',
      'key.pub',
    );
    expect(refusal(verify)).toMatchObject({ code: 'CERTIFICATE_REFUSED', reason: 'unknown_ca' });
  });
});

describe('issueSshCertificate', () => {
  for (const caType of ['ed25519', 'p256'] as const) {
    it.each(keyTypes)(
      `issues for a %s key under a ${caType} CA what ssh-keygen reads`,
      async (type, options) => {
        const folder = temporaryFolder();
        run(folder, 'ssh-keygen', '-q', '-t', type, ...options, '-N', '', '-f', 'key');
        const ca = generateKeyPair(caType);
        const certificate = await issueSshCertificate({
          type: 'user',
          publicKey: parseSshPublicKey(readFileSync(join(folder, 'key.pub'), 'utf8')),
          serial: 77n,
          keyId: 'alice',
          principals: ['alice'],
          validAfterMs: Date.UTC(2026, 0, 1) + 999,
          validBeforeMs: Date.UTC(2026, 0, 2) + 999,
          criticalOptions: { 'source-address': '127.0.0.1/32', 'force-command': 'true' },
          extensions: { 'permit-pty': '', 'permit-agent-forwarding': '' },
          identity,
          signer: createSigner(ca.privateKeyPem),
        });
        writeFileSync(join(folder, 'key-cert.pub'), `${formatSshPublicKey(certificate)}\n`);
        const text = run(folder, 'env', 'TZ=UTC', 'ssh-keygen', '-L', '-f', 'key-cert.pub');
        expect(text).toContain(`Signing CA: ${caType === 'p256' ? 'ECDSA' : 'ED25519'}`);
        expect(text).toContain(sshFingerprint(sshPublicKeyFromSpki(ca.spki)));
        expect(text).toContain('Serial: 77\n');
        expect(text).toContain('Valid: from 2026-01-01T00:00:00 to 2026-01-02T00:00:00\n');
        expect(text).toMatch(/Principals: \n\s+alice\n/);
        expect(text).toMatch(/force-command true\n\s+source-address 127.0.0.1\/32\n/);
        expect(text).toMatch(
          /identity-v1@gatehouse UNKNOWN OPTION.*\n\s+permit-agent-forwarding\n\s+permit-pty\n/,
        );
      },
    );
  }

  it('writes no end as "forever" and reads it as Infinity', async () => {
    const folder = temporaryFolder();
    const certificate = await issueHost({
      validAfterMs: 0,
      validBeforeMs: Number.POSITIVE_INFINITY,
    });
    writeFileSync(join(folder, 'key-cert.pub'), `${formatSshPublicKey(certificate)}\n`);
    expect(run(folder, 'ssh-keygen', '-L', '-f', 'key-cert.pub')).toContain('Valid: forever');
    expect(parseSshCertificate(certificate).validBeforeMs).toBe(Number.POSITIVE_INFINITY);
  });

  // OpenSSH has read "no principals" as "every principal".
  it('refuses no principals, times that are none, names with NUL and keys that are certificates', async () => {
    const certificate = await issueHost({});
    await expect(issueHost({ principals: [] })).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
    });
    await expect(issueHost({ validAfterMs: Number.NaN })).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
    });
    await expect(issueHost({ validAfterMs: -1 })).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
    });
    await expect(issueHost({ keyId: 'a\0b' })).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
    });
    await expect(issueHost({ principals: ['x'.repeat(2000)] })).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
    });
    await expect(issueHost({ publicKey: certificate })).rejects.toMatchObject({
      code: 'KEY_INVALID',
    });
  });

  it('refuses an RSA signer', async () => {
    const folder = temporaryFolder();
    run(
      folder,
      'openssl',
      'genpkey',
      '-algorithm',
      'RSA',
      '-pkeyopt',
      'rsa_keygen_bits:2048',
      '-out',
      'ca.pem',
    );
    const pem = readFileSync(join(folder, 'ca.pem'), 'utf8');
    expect(refusal(() => createSigner(pem))).toMatchObject({ code: 'KEY_INVALID' });
  });
});

async function issueHost(
  changes: Partial<Parameters<typeof issueSshCertificate>[0]>,
): Promise<Buffer> {
  return issueSshCertificate({
    type: 'host',
    publicKey: sshPublicKey(generateKeyPair('ed25519').privateKeyPem),
    serial: 1n,
    keyId: 'web-1',
    principals: ['web-1'],
    validAfterMs: 0,
    validBeforeMs: 1000,
    signer: createSigner(generateKeyPair('ed25519').privateKeyPem),
    ...changes,
  });
}

describe('parseSshCertificate', () => {
  it('gives the payload that stands in a certificate, none where there is none, and refuses a broken one', async () => {
    expect(parseSshCertificate(await issueHost({ type: 'user', identity })).identity).toEqual(
      identity,
    );
    expect(parseSshCertificate(await issueHost({})).identity).toBeUndefined();
    const broken = parseSshCertificate(
      await issueHost({ extensions: { 'identity-v1@gatehouse': '{' } }),
    );
    expect(refusal(() => broken.identity)).toMatchObject({ reason: 'identity' });
  });
});

describe('the form of a certificate', () => {
  /** Changes bytes of a certificate; the length stays. */
  const change = (blob: Buffer, from: string | Buffer, to: string | Buffer) => {
    const at = blob.indexOf(from);
    expect(at).toBeGreaterThan(0);
    const copy = Buffer.from(blob);
    Buffer.from(to).copy(copy, at);
    return copy;
  };

  // Readers that take the first and the last of two options would see two certificates.
  it('has its options sorted and each once', async () => {
    const blob = await issueHost({ extensions: { 'option-b': 'x', 'option-c': 'y' } });
    for (const [from, to] of [
      ['option-c', 'option-b'],
      ['option-c', 'option-a'],
      ['option-b', 'option-d'],
    ] as const) {
      expect(refusal(() => parseSshCertificate(change(blob, from, to)))).toMatchObject({
        reason: 'malformed',
      });
    }
    expect(
      parseSshCertificate(change(blob, 'option-c', 'option-d')).extensions.get('option-d'),
    ).toBe('y');
    const critical = await issueHost({ criticalOptions: { 'option-b': '', 'option-c': '' } });
    expect(
      refusal(() => parseSshCertificate(change(critical, 'option-c', 'option-b'))),
    ).toMatchObject({
      reason: 'malformed',
    });
  });

  it('has an option value in one string, and nothing beside it', async () => {
    const blob = await issueHost({ extensions: { option: 'value' } });
    const at = blob.indexOf('value') - 1;
    const shorter = Buffer.from(blob).fill(4, at, at + 1);
    expect(refusal(() => parseSshCertificate(shorter))).toMatchObject({ reason: 'malformed' });
  });

  it('has an empty reserved field and no bytes at its end', async () => {
    const blob = await issueHost({});
    const { signatureKey } = parseSshCertificate(blob);
    const at = blob.lastIndexOf(signatureKey) - 8;
    expect(blob.readUInt32BE(at)).toBe(0);
    const reserved = Buffer.concat([
      blob.subarray(0, at),
      Buffer.of(0, 0, 0, 1, 0),
      blob.subarray(at + 4),
    ]);
    expect(refusal(() => parseSshCertificate(reserved))).toMatchObject({ reason: 'malformed' });
    expect(refusal(() => parseSshCertificate(Buffer.concat([blob, Buffer.of(0)])))).toMatchObject({
      reason: 'malformed',
    });
  });

  it('is a user’s or a host’s, of a key that is accepted', async () => {
    const blob = await issueHost({ serial: 0xab_cd_efn });
    const type = change(
      blob,
      Buffer.from('abcdef00000002', 'hex'),
      Buffer.from('abcdef00000003', 'hex'),
    );
    expect(refusal(() => parseSshCertificate(type))).toMatchObject({ reason: 'malformed' });
    expect(
      refusal(() => parseSshCertificate(change(blob, 'ssh-ed25519-cert', 'ssh-ed25518-cert'))),
    ).toMatchObject({
      reason: 'malformed',
    });
    expect(
      refusal(() => parseSshCertificate(sshPublicKey(generateKeyPair('ed25519').privateKeyPem))),
    ).toMatchObject({
      text: 'certificate is not accepted: it is no certificate',
    });
  });

  it('has bounds: size, principals, options', async () => {
    expect(refusal(() => parseSshCertificate(Buffer.alloc(256 * 1024 + 1)))).toMatchObject({
      reason: 'malformed',
    });
    const many = Array.from({ length: 300 }, (_, index) => `name-${index}`);
    await expect(issueHost({ principals: many })).rejects.toMatchObject({ reason: 'malformed' });
    const options = Object.fromEntries(many.map((name) => [name, '']));
    await expect(issueHost({ extensions: options })).rejects.toMatchObject({ reason: 'malformed' });
  });
});
