/** Locks as a tunnel tells them: in full, in several messages where they are many. */
import type { LockSet } from '@gatehouse/proto/tunnel/v1/control';
import { tunnelError } from '@gatehouse/tunnel';

/** More than a cluster has; a replica that tells more is broken. */
const maxLocks = 100_000;

/**
 * Takes one message after the other of one tunnel; gives all lock documents once the set is whole. Until then the set
 * before it holds.
 */
export function createLockCollector(): (part: LockSet) => readonly string[] | undefined {
  let documents: string[] = [];
  return ({ documentsJson, more = false }) => {
    if (documents.length + documentsJson.length > maxLocks)
      throw tunnelError('FRAME_INVALID', { details: { why: `more than ${maxLocks} locks` } });
    documents = [...documents, ...documentsJson];
    if (more) return undefined;
    const whole = documents;
    documents = [];
    return whole;
  };
}
