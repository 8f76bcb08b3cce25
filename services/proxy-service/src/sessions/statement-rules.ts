/** Compares what roles say about statements before a change and after it. */
import type { StatementRule, StatementRules } from '@gatehouse/policy';

/**
 * May something that was done under the earlier rules be against the later ones? Open cursors, prepared statements and
 * settings outlive a change, and nobody can judge them again. Where lists differ in more than what was added or taken
 * away, the answer is yes.
 */
export function areNarrower(later: StatementRules, earlier: StatementRules): boolean {
  // Only where a list of tables holds is the search path kept.
  if (namesTables(later) && !namesTables(earlier)) return true;
  return !(
    earlier.allow.every((rule) => later.allow.some((wider) => covers(wider, rule))) &&
    later.deny.every((rule) => earlier.deny.some((wider) => covers(wider, rule)))
  );
}

function namesTables({ allow, deny }: StatementRules): boolean {
  return [...allow, ...deny].some(({ tables }) => tables !== undefined);
}

/** Does the block hold for every statement that `rule` holds for? */
function covers(wider: StatementRule, rule: StatementRule): boolean {
  return holds(wider.statements, rule.statements) && holds(wider.tables, rule.tables);
}

/** No list holds for everything. */
function holds(wider: readonly string[] | undefined, list: readonly string[] | undefined): boolean {
  if (wider === undefined) return true;
  return list?.every((word) => wider.includes(word)) ?? false;
}
