/** What a lock names, as the cluster writes it: people, roles and targets in their own spelling, agents by id. */
import { foldName } from '@gatehouse/policy';

import { findAgentByName } from '../store/agents.js';
import { findDocument } from '../store/documents.js';
import type { Db } from '../store/store.js';
import type { JsonObject } from '../store/tables.js';
import { targetKinds } from './kinds.js';

/** Names that are not known stay as they are: a lock may come before its subject. */
export async function resolveLockTarget(db: Db, target: JsonObject): Promise<JsonObject> {
  const { user, role, agent } = target;
  if (typeof user === 'string') return { user: await spellingOf(db, ['user'], user) };
  if (typeof role === 'string') return { role: await spellingOf(db, ['role'], role) };
  if (typeof target['target'] === 'string')
    return { target: await spellingOf(db, targetKinds, target['target']) };
  if (typeof agent !== 'string') return target;
  const found = await findAgentByName(db, foldName(agent));
  return { agent: found?.id ?? agent };
}

async function spellingOf(db: Db, kinds: readonly string[], name: string): Promise<string> {
  for (const kind of kinds) {
    const found = await findDocument(db, kind, foldName(name));
    if (found !== undefined) return found.name;
  }
  return name;
}
