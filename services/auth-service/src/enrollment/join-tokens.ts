import type { AuditActor } from '@gatehouse/kit/event-log';
/** Making join tokens (D32). What goes into a join command later is checked here (LIM-06). */
import { createId } from '@gatehouse/kit/ids';

import type { Deps } from '../deps.js';
import { invalidDocument, labelsSchema } from '../documents/kinds.js';
import { findNameProblem } from '../documents/names.js';
import { authError } from '../errors.js';
import { insertJoinToken } from '../store/join-tokens.js';
import { createToken } from '../users/tokens.js';

export interface JoinTokenRequest {
  /** Undefined: the configuration's. */
  readonly ttlMs: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  readonly group: string;
}

const maxTtlMs = 30 * 24 * 3_600_000;
const maxGlobs = 100;

/** @throws DOCUMENT_INVALID */
export async function createJoinToken(
  deps: Deps,
  request: JoinTokenRequest,
  actor: AuditActor,
): Promise<{ id: string; token: string; expiresAt: Date }> {
  const labels = labelsSchema.safeParse(request.labels);
  if (!labels.success) throw invalidDocument(labels.error, 'labels');
  const problem = findProblem(request);
  if (problem !== undefined)
    throw authError('DOCUMENT_INVALID', { details: { problems: problem } });
  const { token, hash } = createToken('join');
  return deps.store.record(async (scope) => {
    const id = createId('tok', scope.now.getTime());
    const expiresAtMs = scope.now.getTime() + (request.ttlMs ?? deps.config.ttl.join_token);
    const { names, group } = request;
    const entry = {
      id,
      tokenHash: hash,
      labels: labels.data,
      names,
      group,
      createdBy: actor.name,
      expiresAtMs,
    };
    await insertJoinToken(scope.tx, { ...entry, now: scope.now });
    const target = { kind: 'token', name: id };
    const data = { kind: 'token', name: id, expires: new Date(expiresAtMs).toISOString() };
    scope.audit(
      deps.event({ type: 'resource.created', actor, target, outcome: 'success', data }, scope.now),
    );
    return { id, token, expiresAt: new Date(expiresAtMs) };
  });
}

function findProblem({ ttlMs, names, group }: JoinTokenRequest): string | undefined {
  if (ttlMs !== undefined && (ttlMs < 1000 || ttlMs > maxTtlMs)) return 'ttl: from 1s to 30d';
  if (names.length > maxGlobs) return `names: at most ${maxGlobs}`;
  if (names.some((glob) => !/^[\p{L}\p{M}\p{N}._*?-]{1,63}$/u.test(glob)))
    return 'names: letters, digits and . _ - * ?';
  const problem = group === '' ? undefined : findNameProblem(group);
  if (problem !== undefined) return `group: ${problem}`;
  return group.startsWith('agt_') ? 'group: does not begin with agt_' : undefined;
}
