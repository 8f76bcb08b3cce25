/** Events of those who have not proven who they are, or may not do what they asked. */
import type { Deps } from '../deps.js';
import type { EventDraft } from '../events.js';

/** Writes events; floods are counted. */
export async function recordDrafts(deps: Deps, drafts: readonly EventDraft[]): Promise<void> {
  const admitted = drafts.filter((draft) => deps.floodGate.admit(draft));
  if (admitted.length === 0) return;
  await deps.store.record(async (scope) => {
    for (const draft of admitted) scope.audit(deps.event(draft, scope.now));
  });
}
