/** A calling service's replica id, unless a lock names it (D36: a lock on the replica ends it). */
import type { Context, Deps } from '../deps.js';
import { authError } from '../errors.js';
import { refuseLocked } from '../users/person.js';

/** @throws PERSON_LOCKED, NOT_YOURS */
export async function requireService(deps: Deps, context: Context): Promise<string> {
  const { caller } = context;
  if (caller.type !== 'service')
    throw authError('NOT_YOURS', { reason: 'wrong_kind', details: { name: 'this method' } });
  await refuseLocked(deps, { replica: caller.id });
  return caller.id;
}
