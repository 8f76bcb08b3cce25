/** What one role says about one question. The decision and its explanation are both made from these. */
import type { Conditions } from './conditions.js';
import { isEverything, matchLabels } from './labels.js';
import { matchAnyPattern, type Pattern, type Truth } from './pattern.js';
import type { Role } from './role.js';
import type { PolicyTarget, Traits } from './target.js';

/** The question without the person's roles. */
export interface Question {
  readonly traits: Traits;
  readonly target: PolicyTarget;
  readonly principal: string;
  /** Name of the database, where one is asked for. */
  readonly database: string | undefined;
}

/** What one role says. */
export interface RoleEvaluation {
  readonly role: Role;
  /** The role's labels match the target. */
  readonly labels: boolean;
  /** Its principals (and names of databases) allow what is asked for. */
  readonly principal: boolean;
  /** Its deny block covers the target whatever the principal: the target is not even seen. */
  readonly hides: boolean;
  /** Its deny block covers what is asked for. */
  readonly denies: boolean;
}

/** Asks one role. */
export function evaluateRole(role: Role, question: Question): RoleEvaluation {
  const deny = role.deny.kinds[question.target.kind];
  return {
    role,
    labels: hasMatchingLabels(role, question),
    principal: hasAllowedPrincipal(role.allow, question),
    hides:
      deny.principals === undefined && deny.names === undefined && isDenied(role.deny, question),
    denies: isDenied(role.deny, question),
  };
}

/** Do the labels of the role's allow block match the target? */
export function hasMatchingLabels(
  role: Role,
  question: Pick<Question, 'target' | 'traits'>,
): boolean {
  const { labels } = role.allow.kinds[question.target.kind];
  return labels !== undefined && matchLabels(labels, question.target, question.traits) === true;
}

/** Kinds that have no principals of their own allow any. */
function hasAllowedPrincipal(allow: Conditions, question: Question): boolean {
  const { principals, names } = allow.kinds[question.target.kind];
  switch (question.target.kind) {
    case 'app':
    case 'kube_cluster':
      return true;
    case 'node':
    case 'desktop':
      return isAllowed(principals, question.principal, question.traits);
    case 'database':
      return (
        isAllowed(principals, question.principal, question.traits) &&
        isAllowed(names, question.database, question.traits)
      );
  }
}

function isAllowed(
  patterns: readonly Pattern[] | undefined,
  value: string | undefined,
  traits: Traits,
): boolean {
  return value !== undefined && matchAnyPattern(patterns ?? [], value, traits) === true;
}

/**
 * A deny block denies where every field it names for the kind matches; a field that can't be evaluated matches. A
 * block that names what is decided per request (statements, Kubernetes groups and resources) leaves the connection alone.
 */
function isDenied(deny: Conditions, question: Question): boolean {
  return !deny.kinds[question.target.kind].hasRequestFields && isCovered(deny, question) === true;
}

/** Does every field of a deny block that is about connections match? Undefined where it has none for this kind. */
function isCovered(deny: Conditions, question: Question): boolean | undefined {
  const { labels, principals, names } = deny.kinds[question.target.kind];
  const fields: Truth[] = [];
  if (labels !== undefined) fields.push(matchLabels(labels, question.target, question.traits));
  if (principals !== undefined)
    fields.push(matchAnyPattern(principals, question.principal, question.traits));
  if (names !== undefined) {
    fields.push(
      question.database === undefined
        ? 'unknown'
        : matchAnyPattern(names, question.database, question.traits),
    );
  }
  return fields.length === 0 ? undefined : fields.every((truth) => truth !== false);
}

/** What a role says about the statements of a session to a database. */
export interface StatementRule {
  readonly role: string;
  /** Classes of statements and tables, `schema.table`; undefined: not restricted. */
  readonly statements: readonly string[] | undefined;
  readonly tables: readonly string[] | undefined;
}

/** What holds inside an open session: one of `allow` must allow a whole statement, and none of `deny` any of it. */
export interface StatementRules {
  readonly allow: readonly StatementRule[];
  readonly deny: readonly StatementRule[];
}

/** The rules of the roles that allow the connection, and of every deny block that covers it and names statements or tables. */
export function statementRulesOf(
  evaluations: readonly RoleEvaluation[],
  question: Question,
): StatementRules {
  const rule = ({ name }: Role, { dbStatements, dbTables }: Conditions): StatementRule => ({
    role: name,
    statements: dbStatements,
    tables: dbTables,
  });
  return {
    allow: evaluations
      .filter(({ labels, principal }) => labels && principal)
      .map(({ role }) => rule(role, role.allow)),
    deny: evaluations
      .filter(
        ({ role: { deny } }) =>
          (deny.dbStatements ?? deny.dbTables) !== undefined && isCovered(deny, question) !== false,
      )
      .map(({ role }) => rule(role, role.deny)),
  };
}

/** Does the role's deny block take `login` away on every node? */
export function deniesLoginEverywhere(role: Role, login: string, traits: Traits): boolean {
  const { labels, principals } = role.deny.kinds.node;
  if (labels === undefined && principals === undefined) return false;
  if (labels !== undefined && !isEverything(labels)) return false;
  return principals === undefined || matchAnyPattern(principals, login, traits) !== false;
}
