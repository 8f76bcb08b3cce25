/** What a walk over a statement's tree has found so far. */
import type { SettingFacts, StatementClass, TableUse } from './facts.js';
import { addSettings, noSettings } from './settings.js';
import type { TreeNode } from './tree.js';

/** The names that a WITH gives to its queries, each with its place in the list. */
export interface Scope {
  readonly names: ReadonlyMap<string, number>;
  /** How many of the list are seen from here. */
  readonly seen: number;
  readonly outer: Scope | undefined;
  readonly depth: number;
}

/** A node with what its place in the statement says about it. */
export interface Step {
  readonly node: TreeNode;
  /** Type of the node around it; '' for the statement itself. */
  readonly parent: string;
  readonly scope: Scope | undefined;
  /** False below an EXPLAIN that only plans. */
  readonly isRun: boolean;
}

/** Filled by the walk and by `visitors.ts`. */
export class Collector {
  readonly classes = new Set<StatementClass>();
  readonly tables = new Map<string, TableUse>();
  readonly todo: Step[] = [];
  hidesTables = false;
  isUnknown = false;
  isLocal = false;
  prepares: string | undefined;
  executes: string | undefined;
  settings: SettingFacts = noSettings;

  readonly #maxTables: number;

  constructor(mostTables: number) {
    this.#maxTables = mostTables;
  }

  addClasses(step: Step, ...classes: readonly StatementClass[]): void {
    if (!step.isRun) return;
    for (const name of classes) this.classes.add(name);
  }

  addSettings(settings: SettingFacts): void {
    this.settings = addSettings(this.settings, settings);
  }

  /** Takes note of the name of something that is not a table. */
  noteName(name: string | undefined): void {
    this.isLocal ||= isBeyondAscii(name);
  }

  addTable(schema: string | undefined, name: string, isWritten: boolean): void {
    const key = JSON.stringify([schema, name]);
    const known = this.tables.get(key);
    if (known === undefined && this.tables.size >= this.#maxTables) {
      this.hidesTables = true;
      return;
    }
    this.tables.set(key, { schema, name, isWritten: isWritten || known?.isWritten === true });
  }
}

/** Has it a character that a server of single bytes folds by its locale? */
export function isBeyondAscii(name = ''): boolean {
  return /[^\0-\x7f]/.test(name);
}

/** Is it a query of a WITH that is seen from here? */
export function isQueryName(name: string, innermost: Scope | undefined): boolean {
  for (let scope = innermost; scope !== undefined; scope = scope.outer) {
    const index = scope.names.get(name);
    if (index !== undefined && index < scope.seen) return true;
  }
  return false;
}
