/**
 * The portal that was bound last, until something executes it. A server plans at Bind, and runs what it takes for constant
 * (an IMMUTABLE function that calls others): so a Bind is written down like an execution, and what executes it first goes on
 * with that note.
 */
import type { Portal } from './prepared-names.js';
import type { Note, StatementLog } from './statement-log.js';

interface Bound {
  readonly name: string;
  readonly portal: Portal;
  readonly note: Note;
}

export class LastBound {
  readonly #log: StatementLog;
  #bound: Bound | undefined;
  /** Not executed, and not answered yet; in order. */
  readonly #left: Bound[] = [];

  constructor(log: StatementLog) {
    this.#log = log;
  }

  /** It is about to be sent. */
  set(bound: Bound): void {
    this.settle();
    this.#bound = bound;
  }

  /** The note of a portal that is executed now, the first time. @param portal what the name stands for now */
  take(name: string, portal: Portal | undefined): Note | undefined {
    const bound = this.#bound;
    if (bound?.name !== name) return undefined;
    // It was closed, or SQL took its name: the text that was planned would not be told.
    if (bound.portal !== portal) {
      this.settle();
      return undefined;
    }
    this.#bound = undefined;
    if (name === '') bound.note.portal = portal;
    else this.#log.prepared(portal.statement, { portal: name });
    return bound.note;
  }

  /** Nothing has executed it, or SQL may run it by its name now: told once it is known whether it was bound. */
  settle(): void {
    if (this.#bound !== undefined) this.#left.push(this.#bound);
    this.#bound = undefined;
    this.answered();
  }

  /** Answers have come. @param isOver no more will */
  answered(isOver = false): void {
    for (let [first] = this.#left; first !== undefined; [first] = this.#left) {
      const { portal, note } = first;
      if (portal.state === 'sent' && !isOver) return;
      this.#left.shift();
      if (portal.state === 'refused') note.announced.abandon('not_bound');
      else this.#log.boundOnly(portal, first);
    }
  }
}
