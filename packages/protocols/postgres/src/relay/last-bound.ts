/**
 * The portal that was bound last, until something executes it. A server plans at Bind, and runs what it takes for constant
 * (an IMMUTABLE function that calls others): so a Bind is written down like an execution, and what executes it first goes on
 * with that note.
 */
import type { Statement } from '../wire/statement.js';
import type { Note, StatementLog } from './statement-log.js';

interface Bound {
  readonly portal: string;
  readonly statement: Statement | undefined;
  readonly note: Note;
}

export class LastBound {
  readonly #log: StatementLog;
  #bound: Bound | undefined;

  constructor(log: StatementLog) {
    this.#log = log;
  }

  /** It was sent. */
  set(bound: Bound): void {
    this.settle();
    this.#bound = bound;
  }

  /** The note of a portal that is executed now, the first time. */
  take(portal: string): Note | undefined {
    if (this.#bound?.portal !== portal) return undefined;
    const { note } = this.#bound;
    this.#bound = undefined;
    return note;
  }

  /** Nothing executed it: its text is told all the same, as that of a portal with a name has been. */
  settle(): void {
    if (this.#bound === undefined) return;
    const { portal, statement, note } = this.#bound;
    this.#bound = undefined;
    if (portal === '') this.#log.boundOnly(statement, note);
    else note.announced.abandon('not_executed');
  }
}
