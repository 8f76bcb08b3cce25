/** Facts for tests. */
import type { StatementFacts } from './facts.js';

/** Of a SELECT without a table, but for what is given. */
export function factsWith(given: Partial<StatementFacts>): StatementFacts {
  return {
    start: 0,
    end: 0,
    classes: ['select'],
    tables: [],
    hidesTables: false,
    prepares: undefined,
    executes: undefined,
    isUnknown: false,
    isLocal: false,
    changesActor: false,
    changesReading: false,
    searchPath: undefined,
    ...given,
  };
}
