import { pending } from './pending.js';

/** `-----BEGIN <label>-----` … with 64 columns. */
export function derToPem(der: Buffer, label: string): string {
  return pending();
}

/** Every block of a PEM text, in order. @throws ENCODING_INVALID */
export function pemToDer(pem: string): Buffer[] {
  return pending();
}
