/** How a connection ended, and that as an error. */
import { sshError } from '../errors.js';

/** How a connection ended. */
export interface TransportEnd {
  readonly by: 'peer' | 'us';
  /** The text of a DISCONNECT message, whoever sent it. */
  readonly text?: string;
  /** A broken stream or a violation of the protocol. */
  readonly error?: Error;
}

/** ssh2's words for a failed negotiation in ours. */
export function disconnectText(text: string | undefined): string {
  const what = /no matching (.*)$/.exec(text ?? '')?.[1];
  if (what !== undefined) return `no common algorithm: ${what}`;
  return text ?? 'protocol error';
}

/** The end of a connection as an error of the table. */
export function endError(end: TransportEnd): Error {
  if (end.error === undefined && end.by === 'peer') {
    return sshError('SSH_CLIENT_LEFT', { reason: 'client_left', message: end.text ?? 'closed' });
  }
  const text = disconnectText(end.error?.message ?? end.text);
  if (text.startsWith('no common algorithm')) {
    return sshError('SSH_NO_COMMON_ALGORITHM', {
      details: { what: text.slice('no common algorithm: '.length) },
      reason: 'algorithms',
      cause: end.error,
    });
  }
  return sshError('SSH_PROTOCOL', { details: { why: text }, reason: 'protocol', cause: end.error });
}
