/** `gate lock`: a lock from its parts; the document goes the way of every other (LCK-03). */
import { createId } from '@gatehouse/kit/ids';

import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import type { JsonObject } from '../store/tables.js';
import type { Person } from '../users/person.js';
import { applyDocuments } from './apply.js';
import { parseDocument } from './parse.js';

export interface LockRequest {
  /** Exactly one of its fields is not empty. */
  readonly target: Readonly<Record<string, string>>;
  readonly message: string;
  readonly ttlMs: number | undefined;
  readonly expiresAt: Date | undefined;
}

/** @throws NOT_ALLOWED, DOCUMENT_INVALID, POLICY_INVALID, LOCK_PAST */
export async function createLock(
  deps: Deps,
  person: Person,
  request: LockRequest,
): Promise<JsonObject> {
  const nowMs = deps.clock.now();
  const { ttlMs, message } = request;
  const expiresAt =
    request.expiresAt ?? (ttlMs === undefined ? undefined : new Date(nowMs + ttlMs));
  if (expiresAt !== undefined && !(expiresAt.getTime() > nowMs)) throw authError('LOCK_PAST');
  const named = Object.entries(request.target).filter(([, value]) => value !== '');
  const document = {
    kind: 'lock',
    version: 'v1',
    metadata: { name: createId('lck', nowMs) },
    spec: {
      target: Object.fromEntries(named),
      ...(message === '' ? {} : { message }),
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt.toISOString() }),
    },
  };
  const documents = [parseDocument(JSON.stringify(document))];
  const [applied] = await applyDocuments(deps, person, { documents, dryRun: false });
  if (applied === undefined) throw new Error('nothing was applied');
  return applied.document;
}
