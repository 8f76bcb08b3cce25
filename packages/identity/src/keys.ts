/** Keys as PEM (PKCS #8) and SPKI, and the signer through which everything signs. */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto';

import { identityError } from './errors.js';

export interface KeyPair {
  /** PKCS #8, unencrypted. */
  readonly privateKeyPem: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
}

/** Whatever signs: a key in memory, a KMS, an HSM. */
export interface Signer {
  /** SubjectPublicKeyInfo, DER; Ed25519 or P-256. */
  readonly publicKeySpki: Buffer;
  /** A raw Ed25519 signature, or ECDSA with SHA-256 in DER. */
  sign(data: Buffer): Promise<Buffer>;
}

/** The kinds of keys that Gatehouse accepts. RSA is for people's own keys and foreign CAs only. */
export type KeyType = 'ed25519' | 'p256' | 'rsa';

const maxPemBytes = 64 * 1024;
const maxSpkiBytes = 8 * 1024;
const minRsaBits = 2048;
const maxRsaBits = 8192;

export function generateKeyPair(type: 'ed25519' | 'p256'): KeyPair {
  const pair =
    type === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return {
    privateKeyPem: pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    spki: pair.publicKey.export({ format: 'der', type: 'spki' }),
  };
}

/** A signer on a private key in memory. @throws KEY_INVALID */
export function createSigner(privateKeyPem: string): Signer {
  const privateKey = readPrivateKey(privateKeyPem);
  const publicKey = createPublicKey(privateKey);
  const algorithm = signingHash(publicKey);
  return {
    publicKeySpki: publicKey.export({ format: 'der', type: 'spki' }),
    sign: async (data) => sign(algorithm, data, privateKey),
  };
}

/** SPKI (DER) of a private or public key in PEM. @throws KEY_INVALID */
export function spkiOf(privateOrPublicPem: string): Buffer {
  return readPublicPem(privateOrPublicPem).export({ format: 'der', type: 'spki' });
}

/** The hash that goes with a signing key: none of its own for Ed25519. @throws KEY_INVALID for RSA, which never signs here */
export function signingHash(key: KeyObject): 'sha256' | null {
  const type = keyTypeOf(key);
  if (type === 'rsa')
    throw identityError('KEY_INVALID', { details: { why: 'RSA keys do not sign here' } });
  return type === 'ed25519' ? null : 'sha256';
}

/** @throws KEY_INVALID for every kind, curve and size that is not accepted */
export function keyTypeOf(key: KeyObject): KeyType {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519';
  if (key.asymmetricKeyType === 'ec' && details?.namedCurve === 'prime256v1') return 'p256';
  if (
    key.asymmetricKeyType === 'rsa' &&
    isRsaAccepted(details?.modulusLength, details?.publicExponent)
  )
    return 'rsa';
  throw identityError('KEY_INVALID', {
    details: { why: 'Ed25519, P-256 or RSA from 2048 bits is needed' },
  });
}

/** Huge exponents make each verification slow; even or tiny ones are not RSA keys. */
function isRsaAccepted(bits = 0, exponent = 0n): boolean {
  return (
    bits >= minRsaBits &&
    bits <= maxRsaBits &&
    exponent >= 3n &&
    exponent < 2n ** 33n &&
    exponent % 2n === 1n
  );
}

/** @throws KEY_INVALID */
export function readPrivateKey(pem: string): KeyObject {
  return readKey(pem, () => createPrivateKey(pem));
}

/** The public key of a private or public PEM. @throws KEY_INVALID */
export function readPublicPem(pem: string): KeyObject {
  return readKey(pem, () => createPublicKey(pem));
}

/** @throws KEY_INVALID */
export function readSpki(spki: Buffer): KeyObject {
  if (spki.length > maxSpkiBytes)
    throw identityError('KEY_INVALID', { details: { why: 'it is too long' } });
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (cause) {
    throw identityError('KEY_INVALID', { details: { why: 'it is no public key' }, cause });
  }
}

function readKey(pem: string, read: () => KeyObject): KeyObject {
  if (pem.length > maxPemBytes)
    throw identityError('KEY_INVALID', { details: { why: 'it is too long' } });
  try {
    return read();
  } catch (cause) {
    throw identityError('KEY_INVALID', { details: { why: 'it is no PEM key' }, cause });
  }
}
