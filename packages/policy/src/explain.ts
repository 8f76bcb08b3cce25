/** Why a person may or may not use a target, for people who may read roles. */
import { decideFrom, evaluateRoles, type AccessRequest, type Decision } from './decision.js';
import type { RoleEvaluation } from './evaluation.js';
import { describeMismatch } from './labels.js';

/** A line per role that the person has, then the verdict. Made from the same evaluation as {@link decideAccess}. */
export function explainAccess(request: AccessRequest): readonly string[] {
  const evaluations = evaluateRoles(request);
  const lines = evaluations.map(
    (evaluation) => `role ${evaluation.role.name}: ${describeRole(request, evaluation)}`,
  );
  if (lines.length === 0) lines.push(`${request.user} has no role`);
  return [...lines, describeVerdict(decideFrom(request, evaluations))];
}

function describeRole(request: AccessRequest, evaluation: RoleEvaluation): string {
  const { target, traits } = request;
  if (evaluation.hides) return `its deny block covers ${target.kind} ${target.name}`;
  if (evaluation.denies) return `its deny block covers ${asked(request)} on ${target.name}`;
  const { labels } = evaluation.role.allow.kinds[target.kind];
  if (labels === undefined) return `it allows no target of kind ${target.kind}`;
  const mismatch = describeMismatch(labels, target, traits);
  if (mismatch !== undefined) return `its labels do not match ${target.name}: ${mismatch}`;
  if (!evaluation.principal) return `its labels match, but it does not allow ${asked(request)}`;
  return `it allows ${asked(request)} on ${target.name}`;
}

/** What was asked for, in words. */
function asked({ target, principal, database }: AccessRequest): string {
  switch (target.kind) {
    case 'node':
    case 'desktop':
      return `login "${principal}"`;
    case 'database':
      return `user "${principal}" in database "${database ?? ''}"`;
    case 'app':
    case 'kube_cluster':
      return 'access';
  }
}

function describeVerdict(decision: Decision): string {
  if (decision.allowed) return `allowed by ${decision.roles.join(', ')}`;
  const { reason, role, lock } = decision;
  const words = {
    locked: `denied: locked by ${lock?.name}: ${lock?.message}`,
    denied_by: `denied by role ${role}`,
    no_role: 'denied: no role matches the target',
    login_not_allowed_here: 'denied: no role that matches the target allows what was asked for',
  };
  return words[reason];
}
