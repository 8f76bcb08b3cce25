/** What agents hear of trust and locks, and what a lock does here: a locked agent's tunnels end. */
import type { Clock } from '@gatehouse/kit/clock';
import { findLock, findUnreadableLock, type Lock } from '@gatehouse/policy';
import type { ServiceMessage } from '@gatehouse/proto/tunnel/v1/control';

/** A lock in force on an agent, by whichever of its names. */
export function findAgentLock(
  locks: readonly Lock[],
  agent: { readonly agentId: string; readonly name: string; readonly group: string },
  clock: Pick<Clock, 'now'>,
): Lock | undefined {
  const agents = [agent.agentId, agent.name, agent.group];
  return findLock(locks, { agents }, clock.now());
}

/** Room for locks in one control message. */
const maxLockBytes = 900_000;

/**
 * The locks that concern dials, as documents, in as many messages as they need. Roles and logins are the proxy's to
 * check: a grant does not name them. One that nobody understands is for agents too.
 */
export function encodeLocks(locks: readonly Lock[]): ServiceMessage[] {
  const parts: string[][] = [[]];
  let room = maxLockBytes;
  for (const text of locks.filter(concernsDials).map((lock) => JSON.stringify(documentOf(lock)))) {
    room -= Buffer.byteLength(text);
    if (room < 0) {
      parts.push([]);
      room = maxLockBytes - Buffer.byteLength(text);
    }
    parts.at(-1)?.push(text);
  }
  return parts.map((documentsJson, index) => {
    const more = index < parts.length - 1;
    return { message: { $case: 'locks', value: { documentsJson, more } } };
  });
}

function concernsDials(lock: Lock): boolean {
  const { user, login, target, agent, replica } = lock.target;
  const isNamed = (user ?? login ?? target ?? agent ?? replica) !== undefined;
  return isNamed || findUnreadableLock([lock]) !== undefined;
}

function documentOf({ name, target, message, expiresAtMs }: Lock): unknown {
  const { loginSession, mfaDevice, ...rest } = target;
  const expires =
    expiresAtMs === undefined ? {} : { expires_at: new Date(expiresAtMs).toISOString() };
  const named = { ...rest, login_session: loginSession, mfa_device: mfaDevice };
  const spec = { target: named, message, ...expires };
  return { kind: 'lock', version: 'v1', metadata: { name }, spec };
}
