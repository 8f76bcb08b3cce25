import type { SessionEnd } from './contract.js';

/** Is this the host's word that a session ends (`session.signal.reason`)? Errors have a reason and a message too, and are not. */
export function isSessionEnd(value: unknown): value is SessionEnd {
  return (
    typeof value === 'object' &&
    value !== null &&
    'reason' in value &&
    'message' in value &&
    !(value instanceof Error)
  );
}
