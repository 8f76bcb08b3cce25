import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { refusal, run, temporaryFolder } from '../test/tools.js';
import { createSigner, generateKeyPair, spkiOf } from './keys.js';
import {
  encodeOpensshPrivateKey,
  formatSshPublicKey,
  parseSshPublicKey,
  spkiFromSshPublicKey,
  sshFingerprint,
  sshPublicKey,
  sshPublicKeyFromSpki,
} from './ssh-keys.js';
import { encodeMpint, encodeSshString } from './ssh-wire.js';

describe('SSH keys', () => {
  it.each(['ed25519', 'p256'] as const)(
    'writes a private %s key that ssh-keygen reads as the same key',
    (type) => {
      const folder = temporaryFolder();
      for (let round = 0; round < 8; round += 1) {
        const { privateKeyPem, spki } = generateKeyPair(type);
        const file = join(folder, `key-${round}`);
        writeFileSync(file, encodeOpensshPrivateKey(privateKeyPem, 'alice@home'), { mode: 0o600 });
        const line = run(folder, 'ssh-keygen', '-y', '-f', file).trim();
        expect(line).toBe(formatSshPublicKey(sshPublicKeyFromSpki(spki), 'alice@home'));
        expect(run(folder, 'ssh-keygen', '-l', '-f', file)).toContain(
          sshFingerprint(sshPublicKey(privateKeyPem)),
        );
      }
    },
  );

  it.each([
    ['ed25519', []],
    ['ecdsa', ['-b', '256']],
    ['rsa', ['-b', '2048']],
  ] as const)('reads an OpenSSH %s key and gives the same bytes back', (type, options) => {
    const folder = temporaryFolder();
    run(folder, 'ssh-keygen', '-q', '-t', type, ...options, '-N', '', '-C', 'x y', '-f', 'key');
    const line = readFileSync(join(folder, 'key.pub'), 'utf8');
    const blob = parseSshPublicKey(line);
    expect(formatSshPublicKey(blob, 'x y')).toBe(line.trim());
    expect(sshPublicKeyFromSpki(spkiFromSshPublicKey(blob))).toEqual(blob);
  });

  it('refuses kinds and sizes that are not accepted', () => {
    const folder = temporaryFolder();
    run(folder, 'ssh-keygen', '-q', '-t', 'ecdsa', '-b', '384', '-N', '', '-f', 'p384');
    run(folder, 'ssh-keygen', '-q', '-t', 'rsa', '-b', '1024', '-N', '', '-f', 'rsa1024');
    for (const name of ['p384', 'rsa1024']) {
      const blob = parseSshPublicKey(readFileSync(join(folder, `${name}.pub`), 'utf8'));
      expect(refusal(() => spkiFromSshPublicKey(blob))).toMatchObject({ code: 'KEY_INVALID' });
    }
    expect(refusal(() => createSigner('no key'))).toMatchObject({ code: 'KEY_INVALID' });
    expect(
      refusal(() => spkiOf('-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n')),
    ).toMatchObject({
      code: 'KEY_INVALID',
    });
  });

  it('refuses blobs with other lengths, points off the curve and huge exponents', () => {
    const string = encodeSshString;
    const point = Buffer.alloc(65, 1).fill(4, 0, 1);
    const blobs = [
      Buffer.concat([string('ssh-ed25519'), string(Buffer.alloc(31))]),
      Buffer.concat([string('ssh-ed25519'), string(Buffer.alloc(32)), Buffer.of(0)]),
      Buffer.concat([string('ecdsa-sha2-nistp256'), string('nistp256'), string(point)]),
      Buffer.concat([string('ecdsa-sha2-nistp256'), string('nistp384'), string(point)]),
      Buffer.concat([
        string('ssh-rsa'),
        encodeMpint(Buffer.alloc(8, 0xff)),
        encodeMpint(Buffer.alloc(256, 0xff)),
      ]),
      Buffer.concat([
        string('ssh-rsa'),
        encodeMpint(Buffer.of(3)),
        encodeMpint(Buffer.alloc(2000, 0xff)),
      ]),
      Buffer.concat([
        string('ssh-rsa'),
        encodeMpint(Buffer.of(2)),
        encodeMpint(Buffer.alloc(256, 0xff)),
      ]),
      Buffer.of(0xff, 0xff, 0xff, 0xff),
      Buffer.alloc(0),
    ];
    for (const blob of blobs)
      expect(refusal(() => spkiFromSshPublicKey(blob))).toMatchObject({ code: 'KEY_INVALID' });
  });

  // A key with two spellings would have two fingerprints.
  it('refuses another spelling of a good P-256 key', () => {
    const blob = sshPublicKey(generateKeyPair('p256').privateKeyPem);
    expect(sshPublicKeyFromSpki(spkiFromSshPublicKey(blob))).toEqual(blob);
    const compressed = Buffer.from(blob).fill(2, blob.length - 65, blob.length - 64);
    const renamed = Buffer.from(blob);
    renamed.write('nistp384', blob.lastIndexOf('nistp256'), 'latin1');
    const longer = Buffer.concat([
      blob.subarray(0, -69),
      encodeSshString(Buffer.concat([blob.subarray(-65), Buffer.of(0)])),
    ]);
    for (const bad of [compressed, renamed, longer]) {
      expect(bad).not.toEqual(blob);
      expect(refusal(() => spkiFromSshPublicKey(bad))).toMatchObject({ code: 'KEY_INVALID' });
    }
  });

  it('refuses curves other than P-256 and Ed25519 in PEM and SPKI, too', () => {
    for (const key of [
      generateKeyPairSync('ec', { namedCurve: 'secp384r1' }),
      generateKeyPairSync('x25519'),
    ]) {
      const pem = key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
      const spki = key.publicKey.export({ format: 'der', type: 'spki' });
      for (const act of [
        () => createSigner(pem),
        () => sshPublicKey(pem),
        () => sshPublicKeyFromSpki(spki),
        () => encodeOpensshPrivateKey(pem, ''),
      ]) {
        expect(refusal(act)).toMatchObject({ code: 'KEY_INVALID' });
      }
    }
  });

  it('refuses lines whose type is not the type inside', () => {
    const blob = sshPublicKey(generateKeyPair('ed25519').privateKeyPem);
    const line = formatSshPublicKey(blob);
    for (const bad of [
      line.replace('ssh-ed25519 ', 'ssh-rsa '),
      'ssh-ed25519',
      '',
      'ssh-ed25519 !!!',
      `x ${line}`,
    ]) {
      expect(refusal(() => parseSshPublicKey(bad))).toMatchObject({ code: 'KEY_INVALID' });
    }
    expect(formatSshPublicKey(blob, 'two\nlines')).not.toContain('\n');
  });
});
