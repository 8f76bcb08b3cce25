/**
 * Writes the targets that an agent registers. They may be thousands, so what differs is found by a few queries beside the
 * outbox lock and written in short transactions, between which others get it. Whose a name is, is decided in the
 * transaction that writes.
 */
import { foldName } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { canonicalJson } from '../documents/canonical-json.js';
import { matchesGlobs } from '../documents/names.js';
import { renderDocument } from '../documents/render.js';
import { requireAgent } from '../enrollment/generation.js';
import { findGroupsAround, type StoredAgent } from '../store/agents.js';
import {
  findDocumentsByKey,
  putDocuments,
  removeDocuments,
  type StoredDocument,
} from '../store/documents.js';
import type { ChangeScope, Db } from '../store/store.js';
import type { JsonObject } from '../store/tables.js';
import {
  addServedNames,
  findTargetNames,
  keyText,
  listNamesServedBy,
  putTargetNames,
  releaseTargetNames,
  removeServedNames,
  type NameKey,
  type TargetName,
} from '../store/target-names.js';
import { isSameTrust, keepTrust, parseTarget, type RegisteredTarget } from './registered-target.js';

export type RefusalReason = 'name_taken' | 'name_not_allowed' | 'invalid' | 'trust_changed';

export interface TargetRefusal {
  readonly kind: string;
  readonly name: string;
  readonly reason: RefusalReason;
}

/** A name is held for its owner so long after the owner was last seen. */
export const holdNamesMs = 24 * 3_600_000;
/** Targets of one transaction: a lock that somebody sets waits for no more. */
const batchSize = 100;

/** A target that the agent's token allows, with its document. */
interface Entry extends NameKey {
  readonly name: string;
  readonly body: JsonObject;
}

/** Replaces what an agent serves; gives what was refused. @throws AGENT_REFUSED for an agent that is deleted meanwhile */
export async function writeTargets(
  deps: Deps,
  agent: StoredAgent,
  targets: readonly RegisteredTarget[],
): Promise<TargetRefusal[]> {
  const { database } = deps.store;
  const { entries, refused } = readEntries(agent, targets);
  const servedKeys = await listNamesServedBy(database, agent.id);
  const served = new Set(servedKeys.map(keyText));
  const view = await readView(database, { agent, entries, now: new Date(deps.clock.now()) });
  const decisions = new Map(entries.map((entry) => [entry, decide(agent, entry, view)]));
  const differing = entries.filter((entry) => {
    const decision = decisions.get(entry);
    if (decision === undefined || decision.refused === 'name_taken') return false;
    return decision.isChanged || !served.has(keyText(entry));
  });
  for (const batch of splitInto(differing))
    for (const [entry, decision] of await writeBatch(deps, agent, batch))
      decisions.set(entry, decision);
  const kept = new Set<string>();
  for (const [entry, { refused: reason }] of decisions) {
    if (reason !== undefined) refused.push({ kind: entry.kind, name: entry.name, reason });
    if (reason !== 'name_taken') kept.add(keyText(entry));
  }
  const others = servedKeys.filter((key) => !kept.has(keyText(key)));
  for (const batch of splitInto(others)) await dropBatch(deps, agent, batch);
  return refused;
}

function splitInto<T>(items: readonly T[]): T[][] {
  const count = Math.ceil(items.length / batchSize);
  return Array.from({ length: count }, (_, index) =>
    items.slice(index * batchSize, (index + 1) * batchSize),
  );
}

/** What may be registered at all. Of several targets with one name only the first counts. */
function readEntries(
  agent: StoredAgent,
  targets: readonly RegisteredTarget[],
): { entries: Entry[]; refused: TargetRefusal[] } {
  const entries = new Map<string, Entry>();
  const refused: TargetRefusal[] = [];
  for (const target of targets) {
    const { kind, name } = target;
    const body = parseTarget(agent, target);
    const entry = body === undefined ? undefined : { kind, name, folded: foldName(name), body };
    const reason = findStaticRefusal(agent, entry, entries);
    if (reason !== undefined) refused.push({ kind, name, reason });
    else if (entry !== undefined) entries.set(keyText(entry), entry);
  }
  return { entries: [...entries.values()], refused };
}

function findStaticRefusal(
  agent: StoredAgent,
  entry: Entry | undefined,
  others: ReadonlyMap<string, Entry>,
): RefusalReason | undefined {
  if (entry === undefined) return 'invalid';
  if (!matchesGlobs(agent.names, entry.name)) return 'name_not_allowed';
  return others.has(keyText(entry)) ? 'name_taken' : undefined;
}

/** What stands in the database about the names of some targets. */
interface View {
  readonly documents: ReadonlyMap<string, StoredDocument>;
  readonly names: ReadonlyMap<string, TargetName>;
  /** Groups whose names are held for them. */
  readonly around: ReadonlySet<string>;
  /** A name that was given up before is free. */
  readonly heldSinceMs: number;
}

async function readView(
  db: Db,
  of: { readonly agent: StoredAgent; readonly entries: readonly Entry[]; readonly now: Date },
): Promise<View> {
  const documents = await findDocumentsByKey(db, of.entries);
  const names = await findTargetNames(db, of.entries);
  const others = new Set([...names.values()].map(({ group }) => group));
  others.delete(of.agent.group);
  const heldSince = new Date(of.now.getTime() - holdNamesMs);
  return {
    documents: new Map(documents.map((document) => [keyText(document), document])),
    names,
    around: await findGroupsAround(db, [...others], heldSince),
    heldSinceMs: heldSince.getTime(),
  };
}

/** What becomes of a target. */
interface Decision {
  readonly refused: 'name_taken' | 'trust_changed' | undefined;
  /** The document or the name has to be written. */
  readonly isChanged: boolean;
  /** Undefined: the document stays. */
  readonly body: JsonObject | undefined;
  /** What had the name before, whoever it was. */
  readonly stored: StoredDocument | undefined;
}

function decide(agent: StoredAgent, entry: Entry, view: View): Decision {
  const stored = view.documents.get(keyText(entry));
  const held = view.names.get(keyText(entry));
  if (!isReplaceable(stored, { agent, entry }) || !mayTakeName(held, agent.group, view))
    return { refused: 'name_taken', isChanged: false, body: undefined, stored };
  const own = stored?.ownerGroup === agent.group ? stored.body : undefined;
  const { body, isTrustKept } = mergeBody(own, entry.body);
  const isNamed = held?.group === agent.group && held.releasedAtMs === undefined;
  const refused = isTrustKept ? 'trust_changed' : undefined;
  return { refused, isChanged: body !== undefined || !isNamed, body, stored };
}

/** Other host keys than those of the first registration stay out. `body`: undefined where nothing changes. */
function mergeBody(
  own: JsonObject | undefined,
  wanted: JsonObject,
): { body: JsonObject | undefined; isTrustKept: boolean } {
  const isTrustKept = own !== undefined && !isSameTrust(own, wanted);
  const merged = isTrustKept ? keepTrust(own, wanted) : wanted;
  const isSame = canonicalJson(own) === canonicalJson(merged);
  return { body: isSame ? undefined : merged, isTrustKept };
}

/** False for one that an administrator made, whoever was to serve it, and for the group's own in another spelling. */
function isReplaceable(
  stored: StoredDocument | undefined,
  { agent, entry }: { agent: StoredAgent; entry: Entry },
): boolean {
  if (stored === undefined) return true;
  const isOther = stored.ownerGroup !== agent.group;
  return stored.origin === 'agent' && (isOther || stored.name === entry.name);
}

/** Free, the group's own, or held for somebody who has not been seen for a day. */
function mayTakeName(held: TargetName | undefined, group: string, view: View): boolean {
  if (held === undefined || held.group === group) return true;
  if (held.releasedAtMs !== undefined) return held.releasedAtMs < view.heldSinceMs;
  return !view.around.has(held.group);
}

async function writeBatch(
  deps: Deps,
  agent: StoredAgent,
  entries: readonly Entry[],
): Promise<[Entry, Decision][]> {
  return deps.store.change(async (scope) => {
    await requireAgent(scope.tx, agent.id);
    const view = await readView(scope.tx, { agent, entries, now: scope.now });
    const decisions = entries.map((entry): [Entry, Decision] => [
      entry,
      decide(agent, entry, view),
    ]);
    const taken = decisions.filter(([, decision]) => decision.refused !== 'name_taken');
    const keys = taken.map(([entry]) => entry);
    await putTargetNames(scope.tx, keys, agent.group);
    await addServedNames(scope.tx, agent.id, keys);
    await putTargets(scope, agent, taken);
    return decisions;
  });
}

async function putTargets(
  scope: ChangeScope,
  agent: StoredAgent,
  decisions: readonly [Entry, Decision][],
): Promise<void> {
  const renamed = decisions.flatMap(([{ name }, { body, stored }]) =>
    body === undefined || stored === undefined || stored.name === name ? [] : [stored],
  );
  await removeDocuments(scope.tx, renamed);
  for (const { kind, name } of renamed) scope.publish({ kind, name });
  const writes = decisions.flatMap(([{ kind, name, folded }, { body, stored }]) => {
    if (body === undefined) return [];
    const revision = (stored?.revision ?? 0) + 1;
    const owner = { origin: 'agent' as const, ownerGroup: agent.group };
    return [{ kind, name, folded, revision, body, ...owner, now: scope.now }];
  });
  for (const written of await putDocuments(scope.tx, writes)) {
    const { kind, name } = written;
    scope.publish({ kind, name, body: renderDocument(written) });
  }
}

/** Targets that nobody of the group names any more leave the inventory; their names are held. */
async function dropBatch(deps: Deps, agent: StoredAgent, keys: readonly NameKey[]): Promise<void> {
  await deps.store.change(async (scope) => {
    const orphans = await removeServedNames(scope.tx, agent.id, keys);
    const documents = await findDocumentsByKey(scope.tx, orphans);
    const gone = documents.filter(
      ({ ownerGroup, origin }) => ownerGroup === agent.group && origin === 'agent',
    );
    await removeDocuments(scope.tx, gone);
    await releaseTargetNames(scope.tx, gone, scope.now);
    for (const { kind, name } of gone) scope.publish({ kind, name });
  });
}
