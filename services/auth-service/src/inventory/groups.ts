/** What an agent group owns, and what becomes of it when the last agent of the group is gone (D32). */
import { matchesGlobs } from '../documents/names.js';
import { listGroupAgents, type StoredAgent } from '../store/agents.js';
import { listOwnedTargets, removeDocuments, type StoredDocument } from '../store/documents.js';
import type { ChangeScope, Db } from '../store/store.js';
import type { DocumentOrigin } from '../store/tables.js';
import { ownsNames, removeGroupNames } from '../store/target-names.js';

/** Nobody is in the group and nothing belongs to it, so who founds it inherits nothing. */
export async function isGroupFree(db: Db, group: string): Promise<boolean> {
  if ((await listGroupAgents(db, group)).length > 0) return false;
  return (await listOwnedTargets(db, group)).length === 0 && !(await ownsNames(db, group));
}

/** Where nobody is in the group any more, takes its targets of these origins away and frees their names. */
export async function clearGroup(
  scope: ChangeScope,
  group: string,
  origins: readonly DocumentOrigin[],
): Promise<void> {
  if ((await listGroupAgents(scope.tx, group)).length > 0) return;
  const owned = await listOwnedTargets(scope.tx, group);
  const gone = owned.filter((target) => origins.includes(target.origin));
  await removeDocuments(scope.tx, gone);
  for (const { kind, name } of gone) scope.publish({ kind, name });
  await removeGroupNames(scope.tx, group);
}

/** A target that an administrator gave to the agent's group, if the agent's token allows the name. */
export function isDynamicTarget(agent: StoredAgent, document: StoredDocument): boolean {
  const isGiven = document.origin === 'administrator' && document.ownerGroup === agent.group;
  return isGiven && matchesGlobs(agent.names, document.name);
}
