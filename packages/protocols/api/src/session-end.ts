import type { Session, SessionEnd } from './contract.js';

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

/** Why the host ends the session: what cut it short, else what asked first; undefined while it does not. */
export function sessionEndOf({
  cut,
  signal,
}: Pick<Session, 'cut' | 'signal'>): SessionEnd | undefined {
  const end: unknown = cut.reason ?? signal.reason;
  return isSessionEnd(end) ? end : undefined;
}
