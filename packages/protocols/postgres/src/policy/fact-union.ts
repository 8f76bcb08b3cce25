/** What any of several statements does. Adding one more costs what that one holds, however much there is already. */
import { sizeOfFacts, sizeOfTable } from './fact-size.js';
import type { StatementClass, StatementFacts, TableUse } from './facts.js';
import { addSettings } from './settings.js';

/** More tables than these, each counted once, are hidden ones. */
const maxTables = 1_000;

export class FactUnion {
  /** But for classes and tables. */
  #rest: StatementFacts;
  readonly #classes: Set<StatementClass>;
  readonly #tables = new Map<string, TableUse>();
  #tableBytes = 0;
  #restBytes: number | undefined;
  #facts: StatementFacts | undefined;

  constructor(first: StatementFacts) {
    this.#rest = { ...first, classes: [], tables: [] };
    this.#classes = new Set(first.classes);
    this.#addTables(first.tables);
  }

  /** About what it takes in memory. */
  get bytes(): number {
    this.#restBytes ??= sizeOfFacts({ ...this.#rest, classes: [...this.#classes] });
    return this.#restBytes + this.#tableBytes;
  }

  /** `executes` is that of the first that has it. */
  get facts(): StatementFacts {
    this.#facts ??= {
      ...this.#rest,
      classes: [...this.#classes],
      tables: [...this.#tables.values()],
    };
    return this.#facts;
  }

  add(other: StatementFacts): this {
    const rest = this.#rest;
    this.#facts = undefined;
    this.#rest = {
      ...rest,
      ...addSettings(rest, other),
      hidesTables: rest.hidesTables || other.hidesTables,
      executes: rest.executes ?? other.executes,
      isUnknown: rest.isUnknown || other.isUnknown,
      isLocal: rest.isLocal || other.isLocal,
    };
    const { size } = this.#classes;
    for (const name of other.classes) this.#classes.add(name);
    const isSame = size === this.#classes.size && rest.executes === this.#rest.executes;
    if (!isSame || other.searchPath !== undefined) this.#restBytes = undefined;
    this.#addTables(other.tables);
    return this;
  }

  /** Each table once, else what is given the same again and again would grow. */
  #addTables(tables: readonly TableUse[]): void {
    for (const use of tables) {
      const key = use.schema === undefined ? use.name : `${use.schema}\0${use.name}`;
      if (this.#tables.has(key)) {
        if (use.isWritten) this.#tables.set(key, use);
      } else if (this.#tables.size < maxTables) {
        this.#tables.set(key, use);
        this.#tableBytes += sizeOfTable(use);
      } else if (!this.#rest.hidesTables) this.#rest = { ...this.#rest, hidesTables: true };
    }
  }
}

/** What either does. */
export function uniteFacts(one: StatementFacts, other: StatementFacts): StatementFacts {
  return new FactUnion(one).add(other).facts;
}
