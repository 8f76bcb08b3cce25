/** SSH public keys (RFC 4253 §6.6, RFC 8709, RFC 5656) and OpenSSH's private key file. */
import {
  createHash,
  createPublicKey,
  randomBytes,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';

import type { GatehouseError } from '@gatehouse/kit/errors';

import { identityError } from './errors.js';
import { keyTypeOf, readPrivateKey, readPublicPem, readSpki } from './keys.js';
import { derToPem } from './pem.js';
import {
  createSshReader,
  encodeMpint,
  encodeSshString,
  encodeUint32,
  type Failure,
  type SshReader,
} from './ssh-wire.js';

/** Names of plain keys on the wire. */
export type SshKeyAlgorithm = 'ssh-ed25519' | 'ecdsa-sha2-nistp256' | 'ssh-rsa';

/** Fields of a public key after the algorithm's name. */
export interface SshKeyFields {
  readonly algorithm: SshKeyAlgorithm;
  /** ed25519: [key]; ecdsa: [point]; rsa: [e, n] without sign bytes. */
  readonly numbers: readonly Buffer[];
}

const curveName = 'nistp256';
const maxBlobBytes = 4 * 1024;
const maxRsaBytes = 1024;
const maxLineBytes = 512 * 1024;

/** Wire blob of the public key. @throws KEY_INVALID */
export function sshPublicKey(privateOrPublicPem: string): Buffer {
  return encodeKeyObject(readPublicPem(privateOrPublicPem));
}

/** Wire blob of an SPKI. @throws KEY_INVALID */
export function sshPublicKeyFromSpki(spki: Buffer): Buffer {
  return encodeKeyObject(readSpki(spki));
}

/** SPKI of a wire blob. @throws KEY_INVALID */
export function spkiFromSshPublicKey(blob: Buffer): Buffer {
  return readSshPublicKey(blob).export({ format: 'der', type: 'spki' });
}

/** One line `<type> <base64> [comment]`, also for certificates (`-cert.pub` files). */
export function formatSshPublicKey(blob: Buffer, comment?: string): string {
  const name = createSshReader(blob, keyFailure).text(64);
  const line = `${name} ${blob.toString('base64')}`;
  return comment === undefined ? line : `${line} ${comment.replaceAll(/[\r\n]/g, ' ')}`;
}

/** Wire blob of a line as {@link formatSshPublicKey} writes it; a certificate's line too. @throws KEY_INVALID */
export function parseSshPublicKey(line: string): Buffer {
  if (line.length > maxLineBytes) throw keyFailure('the line is too long');
  const [name, encoded] = line.trim().split(/[ \t]+/, 2);
  if (name === undefined || encoded === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) {
    throw keyFailure('a line "<type> <base64>" is needed');
  }
  const blob = Buffer.from(encoded, 'base64');
  if (createSshReader(blob, keyFailure).text(64) !== name)
    throw keyFailure('type and contents differ');
  return blob;
}

/** An unencrypted `openssh-key-v1` file; Ed25519 and P-256. @throws KEY_INVALID @see OpenSSH PROTOCOL.key */
export function encodeOpensshPrivateKey(privateKeyPem: string, comment: string): string {
  const privateKey = readPrivateKey(privateKeyPem);
  const publicBlob = encodeKeyObject(createPublicKey(privateKey));
  const check = randomBytes(4);
  const body = Buffer.concat([
    check,
    check,
    encodePrivateFields(privateKey),
    encodeSshString(comment),
  ]);
  const padding = Buffer.from(
    Array.from({ length: (8 - (body.length % 8)) % 8 }, (_, index) => index + 1),
  );
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0', 'latin1'),
    encodeSshString('none'),
    encodeSshString('none'),
    encodeSshString(''),
    encodeUint32(1),
    encodeSshString(publicBlob),
    encodeSshString(Buffer.concat([body, padding])),
  ]);
  return derToPem(file, 'OPENSSH PRIVATE KEY');
}

/** `SHA256:…`, as ssh-keygen prints it. */
export function sshFingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** The key of a plain blob, ready to verify with. @throws KEY_INVALID */
export function readSshPublicKey(blob: Buffer): KeyObject {
  if (blob.length > maxBlobBytes) throw keyFailure('it is too long');
  const reader = createSshReader(blob, keyFailure);
  const fields = readKeyFields(reader, parseKeyAlgorithm(reader.text(64), keyFailure), keyFailure);
  reader.end();
  return toKeyObject(fields);
}

/**
 * Throws unless the plain blob is an acceptable key: RSA from 2048 bits, a point on the curve. Ed25519 has no bad form
 * that a verification would not notice, so the usual case costs nothing.
 * @throws KEY_INVALID
 */
export function checkSshPublicKey(blob: Buffer): void {
  const reader = createSshReader(blob, keyFailure);
  const algorithm = parseKeyAlgorithm(reader.text(64), keyFailure);
  if (algorithm !== 'ssh-ed25519') readSshPublicKey(blob);
}

/** @throws the failure, for every name that is not a plain key's */
export function parseKeyAlgorithm(name: string, fail: Failure): SshKeyAlgorithm {
  if (name === 'ssh-ed25519' || name === 'ecdsa-sha2-nistp256' || name === 'ssh-rsa') return name;
  throw fail('Ed25519, P-256 or RSA is needed');
}

/** Reads what follows the algorithm's name in a key, or the nonce in a certificate. */
export function readKeyFields(
  reader: SshReader,
  algorithm: SshKeyAlgorithm,
  fail: Failure,
): SshKeyFields {
  switch (algorithm) {
    case 'ssh-ed25519': {
      const key = reader.string(32);
      if (key.length !== 32) throw fail('the key has the wrong length');
      return { algorithm, numbers: [key] };
    }
    case 'ecdsa-sha2-nistp256': {
      if (reader.text(16) !== curveName) throw fail('the curve is not P-256');
      const point = reader.string(65);
      if (point.length !== 65 || point[0] !== 4) throw fail('the point is not uncompressed');
      return { algorithm, numbers: [point] };
    }
    case 'ssh-rsa':
      return { algorithm, numbers: [reader.mpint(8), reader.mpint(maxRsaBytes)] };
  }
}

/** Plain wire blob of the fields. */
function encodeKeyFields(fields: SshKeyFields): Buffer {
  const name = encodeSshString(fields.algorithm);
  switch (fields.algorithm) {
    case 'ssh-ed25519':
      return Buffer.concat([name, ...fields.numbers.map(encodeSshString)]);
    case 'ecdsa-sha2-nistp256':
      return Buffer.concat([
        name,
        encodeSshString(curveName),
        ...fields.numbers.map(encodeSshString),
      ]);
    case 'ssh-rsa':
      return Buffer.concat([name, ...fields.numbers.map(encodeMpint)]);
  }
}

function toKeyObject(fields: SshKeyFields): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: toJwk(fields), format: 'jwk' });
  } catch (cause) {
    throw identityError('KEY_INVALID', {
      details: { why: 'its numbers are no key' },
      reason: 'malformed',
      cause,
    });
  }
  // The curves are fixed by the algorithm; only RSA has sizes.
  if (fields.algorithm === 'ssh-rsa') keyTypeOf(key);
  return key;
}

function toJwk({ algorithm, numbers }: SshKeyFields): JsonWebKey {
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = numbers;
  switch (algorithm) {
    case 'ssh-ed25519':
      return { kty: 'OKP', crv: 'Ed25519', x: first.toString('base64url') };
    case 'ecdsa-sha2-nistp256':
      return {
        kty: 'EC',
        crv: 'P-256',
        x: first.subarray(1, 33).toString('base64url'),
        y: first.subarray(33).toString('base64url'),
      };
    case 'ssh-rsa':
      return { kty: 'RSA', e: first.toString('base64url'), n: second.toString('base64url') };
  }
}

/** @throws KEY_INVALID */
export function encodeKeyObject(key: KeyObject): Buffer {
  const type = keyTypeOf(key);
  const jwk = key.export({ format: 'jwk' });
  switch (type) {
    case 'ed25519':
      return encodeKeyFields({ algorithm: 'ssh-ed25519', numbers: [field(jwk.x)] });
    case 'p256':
      return encodeKeyFields({ algorithm: 'ecdsa-sha2-nistp256', numbers: [point(jwk)] });
    case 'rsa':
      return encodeKeyFields({ algorithm: 'ssh-rsa', numbers: [field(jwk.e), field(jwk.n)] });
  }
}

function encodePrivateFields(privateKey: KeyObject): Buffer {
  const type = keyTypeOf(privateKey);
  const jwk = privateKey.export({ format: 'jwk' });
  if (type === 'ed25519') {
    const seed = field(jwk.d);
    const publicKey = field(jwk.x);
    return Buffer.concat([
      encodeSshString('ssh-ed25519'),
      encodeSshString(publicKey),
      encodeSshString(Buffer.concat([seed, publicKey])),
    ]);
  }
  if (type === 'p256') {
    return Buffer.concat([
      encodeSshString('ecdsa-sha2-nistp256'),
      encodeSshString(curveName),
      encodeSshString(point(jwk)),
      encodeMpint(field(jwk.d)),
    ]);
  }
  throw keyFailure('RSA keys are not written');
}

function point(jwk: JsonWebKey): Buffer {
  return Buffer.concat([Buffer.of(4), field(jwk.x), field(jwk.y)]);
}

function field(value: string | undefined): Buffer {
  return Buffer.from(value ?? '', 'base64url');
}

function keyFailure(why: string): GatehouseError {
  return identityError('KEY_INVALID', { details: { why }, reason: 'malformed' });
}
