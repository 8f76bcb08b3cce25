import { pending } from './pending.js';

/** True when `wireSignature` (string algorithm, string signature) over `data` is by the plain key `publicKey`. No SHA-1. */
export function verifySshSignature(publicKey: Buffer, data: Buffer, wireSignature: Buffer): boolean {
  return pending();
}
