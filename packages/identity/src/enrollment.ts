/** The MAC that proves both sides of a service's first certificate (D17). */
import { pending } from './pending.js';

/** HMAC-SHA-256 over the label and the parts, each with its length, so that no two lists give the same bytes. */
export function computeEnrollmentMac(secret: Buffer, label: string, parts: readonly Uint8Array[]): Buffer {
  return pending();
}

/** Compares in constant time. */
export function isMacEqual(a: Uint8Array, b: Uint8Array): boolean {
  return pending();
}
