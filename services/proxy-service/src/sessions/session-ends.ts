/** Ends of sessions that the host wants. */
import type { SessionEnd } from '@gatehouse/protocol-api';

/** Those that can wait until what is under way has come to its own end. */
export const patientReasons: ReadonlySet<string> = new Set([
  'ttl',
  'policy',
  'idle',
  'target_deleted',
]);

/** Its time is over: the certificate's, or the one that roles give a session. Ms since the epoch. */
export function endOfLife(endsAtMs: number, certificateEndsAtMs: number): SessionEnd {
  const message =
    endsAtMs === certificateEndsAtMs
      ? `certificate expired at ${new Date(endsAtMs).toISOString()}; run gate login`
      : 'the session has reached its longest time';
  return { reason: 'ttl', message };
}
