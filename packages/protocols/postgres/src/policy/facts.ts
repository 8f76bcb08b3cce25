/** What the policy knows of a statement: plain data, small enough to be kept for every text that comes again. */

/** The words of `db_statements`, in the order in which they are told. */
export const statementClasses = [
  'select',
  'show',
  'explain',
  'insert',
  'update',
  'delete',
  'ddl',
  'dcl',
  'copy',
  'call',
  'transaction',
  'set',
  'utility',
] as const;

export type StatementClass = (typeof statementClasses)[number];

/** A table, view, sequence or index that a statement names, as the server folds the name. */
export interface TableUse {
  /** Undefined: found by the search path. A table created with TEMP has `pg_temp`. */
  readonly schema: string | undefined;
  readonly name: string;
  /** Changed, created, locked or granted; false where it is only read. */
  readonly isWritten: boolean;
}

/** What a change of settings does to what the policy relies on. */
export interface SettingFacts {
  /** Who acts: `role`, `session_authorization`. Going back to whom the session began as is not a change. */
  readonly changesActor: boolean;
  /** How the server reads text, so that it would see another statement than the parser does. */
  readonly changesReading: boolean;
  /** Schemas in which unqualified names are looked for from now on; undefined: as before. */
  readonly searchPath: readonly string[] | 'unknown' | undefined;
}

/** One statement of a text. */
export interface StatementFacts extends SettingFacts {
  /** Where it stands in the text, in bytes. */
  readonly start: number;
  readonly end: number;
  /** All that it does, each once, in the order of `statementClasses`. */
  readonly classes: readonly StatementClass[];
  readonly tables: readonly TableUse[];
  /** It reaches, or may reach, tables that its text does not name. */
  readonly hidesTables: boolean;
  /** The name given with PREPARE; classes and tables are then those of what is prepared. */
  readonly prepares: string | undefined;
  /** The name that EXECUTE runs; what that does is not in these facts. */
  readonly executes: string | undefined;
  /** It holds something this version of the grammar's table does not know. */
  readonly isUnknown: boolean;
  /** It has names beyond ASCII that a server of single bytes may fold to others, by its locale; those of tables are in `tables`. */
  readonly isLocal: boolean;
}

/** Why there are no facts of a text. */
export type UnparsedReason = 'encoding' | 'syntax' | 'too_long' | 'timeout' | 'busy' | 'failed';

/** The facts of a text, one for each statement in it; none for an empty one. */
export type ParsedText =
  | { readonly kind: 'parsed'; readonly statements: readonly StatementFacts[] }
  | { readonly kind: 'unparsed'; readonly reason: UnparsedReason };
