/** Keys as PEM (PKCS #8) and SPKI, and the signer through which everything signs. */
import { pending } from './pending.js';

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

export function generateKeyPair(type: 'ed25519' | 'p256'): KeyPair {
  return pending();
}

/** A signer on a private key in memory. @throws KEY_INVALID */
export function createSigner(privateKeyPem: string): Signer {
  return pending();
}

/** SPKI (DER) of a private or public key in PEM. @throws KEY_INVALID */
export function spkiOf(privateOrPublicPem: string): Buffer {
  return pending();
}
