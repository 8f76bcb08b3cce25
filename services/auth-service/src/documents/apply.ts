/**
 * Creating and changing documents: all of a call in one transaction, all or none (API-06). The steps are the same for
 * every kind; what a kind has of its own is in `check-change.ts`.
 */
import type { AdministrationVerb } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import type { EventDraft } from '../events.js';
import { findDocument, putDocument, type StoredDocument } from '../store/documents.js';
import type { ChangeScope } from '../store/store.js';
import type { JsonObject } from '../store/tables.js';
import type { Person } from '../users/person.js';
import { requireRule } from '../users/person.js';
import { canonicalJson } from './canonical-json.js';
import { prepareChange, type PreparedChange } from './check-change.js';
import type { ParsedDocument } from './parse.js';
import { renderDocument } from './render.js';

export interface Applied {
  readonly document: JsonObject;
  readonly result: 'created' | 'updated' | 'unchanged';
  readonly previous: JsonObject | undefined;
}

/** Thrown to roll a dry run back; never leaves this file. */
class DryRunDone extends Error {
  override readonly name = 'DryRunDone';
}

/** @throws NOT_ALLOWED, REVISION_OLD, NAME_CASE, BUILTIN and what the kind refuses; nothing is applied then */
export async function applyDocuments(
  deps: Deps,
  person: Person,
  request: { readonly documents: readonly ParsedDocument[]; readonly dryRun: boolean },
): Promise<Applied[]> {
  let results: Applied[] = [];
  try {
    await deps.store.change(async (scope) => {
      results = [];
      for (const document of request.documents)
        results.push(await applyOne(deps, scope, { person, document }));
      if (request.dryRun) throw new DryRunDone();
    });
  } catch (thrown) {
    if (!(thrown instanceof DryRunDone)) throw thrown;
  }
  return results;
}

async function applyOne(
  deps: Deps,
  scope: ChangeScope,
  { person, document }: { person: Person; document: ParsedDocument },
): Promise<Applied> {
  const { kind, name, folded } = document;
  const stored = await findDocument(scope.tx, kind, folded);
  checkIdentity(person, document, stored);
  const prepared = await prepareChange(deps, scope, { document, stored, person });
  const previous = stored === undefined ? undefined : renderDocument(stored);
  if (stored !== undefined && isSame(stored, prepared)) {
    return { document: renderDocument(stored), result: 'unchanged', previous };
  }
  if (stored?.origin === 'builtin') throw authError('BUILTIN', { details: { kind, name } });
  const written = await putDocument(scope.tx, {
    kind,
    name,
    folded,
    revision: (stored?.revision ?? 0) + 1,
    body: prepared.body,
    origin: prepared.origin ?? 'administrator',
    ownerGroup: prepared.ownerGroup,
    now: scope.now,
  });
  const rendered = renderDocument(written);
  scope.publish({ kind, name, body: rendered });
  scope.audit(deps.event(changeEvent(person, written, stored), scope.now));
  return { document: rendered, result: stored === undefined ? 'created' : 'updated', previous };
}

function checkIdentity(
  person: Person,
  document: ParsedDocument,
  stored: StoredDocument | undefined,
): void {
  const verb: AdministrationVerb = stored === undefined ? 'create' : 'update';
  requireRule(person, document.kind, verb);
  const { kind, name, revision } = document;
  if (stored !== undefined && stored.name !== name) {
    throw authError('NAME_CASE', { details: { name, taken: stored.name } });
  }
  const current = stored?.revision ?? 0;
  if (revision !== undefined && revision !== current) {
    const details = { kind, name, current: String(current), given: String(revision) };
    throw authError('REVISION_OLD', { details });
  }
}

function isSame(stored: StoredDocument, prepared: PreparedChange): boolean {
  return (
    canonicalJson(stored.body) === canonicalJson(prepared.body) &&
    stored.ownerGroup === prepared.ownerGroup
  );
}

function changeEvent(
  person: Person,
  written: StoredDocument,
  stored: StoredDocument | undefined,
): EventDraft {
  const { kind, name, revision } = written;
  const base = { actor: person.actor, target: { kind, name }, outcome: 'success' as const };
  if (kind === 'lock' && stored === undefined) {
    return { ...base, type: 'lock.created', data: { name, spec: written.body['spec'] } };
  }
  return {
    ...base,
    type: stored === undefined ? 'resource.created' : 'resource.updated',
    data: { kind, name, revision },
  };
}
