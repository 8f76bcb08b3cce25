/** SSH signatures (RFC 4253 §6.6, RFC 5656 §3.1.2, RFC 8332, RFC 8709), without SHA-1. */
import { sign, verify, type KeyObject } from 'node:crypto';

import { GatehouseError } from '@gatehouse/kit/errors';

import { identityError } from './errors.js';
import { signingHash } from './keys.js';
import { readSshPublicKey } from './ssh-keys.js';
import { createSshReader, encodeMpint, encodeSshString } from './ssh-wire.js';

const maxSignatureBytes = 1024 + 64;

/**
 * True when `wireSignature` (string algorithm, string signature) over `data` is by the plain key `publicKey` (wire
 * blob). Whatever is not well formed is false.
 */
export function verifySshSignature(
  publicKey: Buffer,
  data: Buffer,
  wireSignature: Buffer,
): boolean {
  try {
    const reader = createSshReader(wireSignature, signatureFailure);
    const algorithm = reader.text(32);
    const signature = reader.string(maxSignatureBytes);
    reader.end();
    return verifyByAlgorithm(algorithm, { key: readSshPublicKey(publicKey), data, signature });
  } catch (thrown) {
    if (thrown instanceof GatehouseError) return false;
    throw thrown;
  }
}

/** A signature over `data` with its algorithm in front. Ed25519 and P-256. */
export function signSsh(privateKey: KeyObject, data: Buffer): Buffer {
  return encodeSshSignature(privateKey, sign(signingHash(privateKey), data, privateKey));
}

interface SignatureCheck {
  readonly key: KeyObject;
  readonly data: Buffer;
  readonly signature: Buffer;
}

function verifyByAlgorithm(algorithm: string, { key, data, signature }: SignatureCheck): boolean {
  switch (algorithm) {
    case 'ssh-ed25519':
      return key.asymmetricKeyType === 'ed25519' && verify(null, data, key, signature);
    case 'ecdsa-sha2-nistp256':
      if (key.asymmetricKeyType !== 'ec') return false;
      return verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, decodeEcdsa(signature));
    case 'rsa-sha2-256':
    case 'rsa-sha2-512':
      return (
        key.asymmetricKeyType === 'rsa' &&
        verify(algorithm.replace('rsa-sha2-', 'sha'), data, key, signature)
      );
    default:
      return false;
  }
}

/** mpint r, mpint s → r and s in 32 bytes each. */
function decodeEcdsa(signature: Buffer): Buffer {
  const reader = createSshReader(signature, signatureFailure);
  const numbers = [reader.mpint(32), reader.mpint(32)];
  reader.end();
  return Buffer.concat(numbers.flatMap((number) => [Buffer.alloc(32 - number.length), number]));
}

/** A signer's output as an SSH signature: algorithm and signature. @throws KEY_INVALID when it is neither kind */
export function encodeSshSignature(key: KeyObject, signature: Buffer): Buffer {
  if (signingHash(key) === null) {
    return Buffer.concat([encodeSshString('ssh-ed25519'), encodeSshString(signature)]);
  }
  const [r, s] = readDerPair(signature);
  return Buffer.concat([
    encodeSshString('ecdsa-sha2-nistp256'),
    encodeSshString(Buffer.concat([encodeMpint(r), encodeMpint(s)])),
  ]);
}

/** SEQUENCE of two INTEGERs, each at most 33 bytes. */
function readDerPair(der: Buffer): [Buffer, Buffer] {
  const rLength = der[3] ?? 0;
  const sLength = der[5 + rLength] ?? 0;
  const isPair =
    der[0] === 0x30 &&
    der[2] === 2 &&
    der[4 + rLength] === 2 &&
    der.length === 6 + rLength + sLength;
  if (!isPair)
    throw identityError('KEY_INVALID', {
      details: { why: 'the signer answered with no ECDSA signature' },
    });
  return [der.subarray(4, 4 + rLength), der.subarray(6 + rLength)];
}

function signatureFailure(why: string): GatehouseError {
  return identityError('ENCODING_INVALID', { details: { why }, reason: 'signature' });
}
