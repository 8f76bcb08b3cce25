/** SSH public keys (RFC 4253 §6.6, RFC 8709, RFC 5656) and OpenSSH's private key file. */
import { pending } from './pending.js';

/** Wire blob of the public key. @throws KEY_INVALID */
export function sshPublicKey(privateOrPublicPem: string): Buffer {
  return pending();
}

/** Wire blob of an SPKI. @throws KEY_INVALID */
export function sshPublicKeyFromSpki(spki: Buffer): Buffer {
  return pending();
}

/** SPKI of a wire blob. @throws KEY_INVALID */
export function spkiFromSshPublicKey(blob: Buffer): Buffer {
  return pending();
}

/** One line `<type> <base64> [comment]`, also for certificates (`-cert.pub` files). */
export function formatSshPublicKey(blob: Buffer, comment?: string): string {
  return pending();
}

/** Wire blob of a line as {@link formatSshPublicKey} writes it. @throws KEY_INVALID */
export function parseSshPublicKey(line: string): Buffer {
  return pending();
}

/** An unencrypted `openssh-key-v1` file; Ed25519 and P-256. @throws KEY_INVALID */
export function encodeOpensshPrivateKey(privateKeyPem: string, comment: string): string {
  return pending();
}

/** `SHA256:…`, as ssh-keygen prints it. */
export function sshFingerprint(blob: Buffer): string {
  return pending();
}
