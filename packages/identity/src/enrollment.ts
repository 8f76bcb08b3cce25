/** The MAC that proves both sides of a service's first certificate (D17). */
import { createHmac, timingSafeEqual } from 'node:crypto';

import { identityError } from './errors.js';

const minSecretBytes = 16;

/**
 * HMAC-SHA-256 over the label and the parts, each after its length (32 bits), so that no two lists give the same bytes.
 * The label says which message it is: a request's MAC is never a reply's.
 * @throws KEY_INVALID for a secret of less than 16 bytes
 */
export function computeEnrollmentMac(
  secret: Buffer,
  label: string,
  parts: readonly Uint8Array[],
): Buffer {
  if (secret.length < minSecretBytes) {
    throw identityError('KEY_INVALID', { details: { why: 'a join secret has at least 16 bytes' } });
  }
  const mac = createHmac('sha256', secret);
  for (const part of [Buffer.from(label, 'utf8'), ...parts]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length, 0);
    mac.update(length).update(part);
  }
  return mac.digest();
}

/** Compares in constant time; lengths may differ. */
export function isMacEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
