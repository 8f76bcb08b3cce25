/** What agents hear of trust and locks, and what a lock does here: a locked agent's tunnels end. */
import type { Clock } from '@gatehouse/kit/clock';
import { findLock, type Lock } from '@gatehouse/policy';
import type { ServiceMessage } from '@gatehouse/proto/tunnel/v1/control';

/** A lock in force on an agent, by whichever of its names. */
export function findAgentLock(
  locks: readonly Lock[],
  agent: { readonly agentId: string; readonly name: string; readonly group: string },
  clock: Pick<Clock, 'now'>,
): Lock | undefined {
  for (const name of new Set([agent.agentId, agent.name, agent.group])) {
    const lock = findLock(locks, { agent: name }, clock.now());
    if (lock !== undefined) return lock;
  }
  return undefined;
}

/** Room for locks in one control message. */
const maxLockBytes = 900_000;

/** The locks that concern dials, as documents. Roles and logins are the proxy's to check: a grant does not name them. */
export function encodeLocks(locks: readonly Lock[]): ServiceMessage {
  const documentsJson: string[] = [];
  let room = maxLockBytes;
  for (const lock of locks) {
    const { user, login, target, agent, replica } = lock.target;
    if ((user ?? login ?? target ?? agent ?? replica) === undefined) continue;
    const text = JSON.stringify(documentOf(lock));
    room -= Buffer.byteLength(text);
    if (room < 0) break;
    documentsJson.push(text);
  }
  return { message: { $case: 'locks', value: { documentsJson } } };
}

function documentOf({ name, target, message, expiresAtMs }: Lock): unknown {
  const expires =
    expiresAtMs === undefined ? {} : { expires_at: new Date(expiresAtMs).toISOString() };
  return { kind: 'lock', version: 'v1', metadata: { name }, spec: { target, message, ...expires } };
}
