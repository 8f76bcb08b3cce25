/**
 * What the names stand for that a session has prepared, in a bounded place. A server may refuse a name that it has, and
 * whether it did is not known here: so a name that comes again stands for all that it was given. When the place is full,
 * the oldest names go, but not what they did: a name that comes later may be one of them, and stands for that as well.
 */
import { sizeOfFacts } from './fact-size.js';
import { FactUnion, uniteFacts } from './fact-union.js';
import type { StatementFacts } from './facts.js';

/** Names of one session whose facts are kept, and about what these take in memory. */
export const preparedLimits = { maxNames: 10_000, maxBytes: 8 * 1024 * 1024 };

interface Entry {
  readonly facts: StatementFacts | FactUnion;
  /** It may be a name that was forgotten. */
  readonly isLater: boolean;
  readonly bytes: number;
}

const entryBytes = 200;

export class PreparedFacts {
  readonly #limits: typeof preparedLimits;
  readonly #entries = new Map<string, Entry>();
  /** All that forgotten names did. */
  #forgotten: FactUnion | undefined;
  #bytes = 0;

  constructor(limits = preparedLimits) {
    this.#limits = limits;
  }

  /** About what all of it takes in memory. */
  get bytes(): number {
    return this.#bytes + (this.#forgotten?.bytes ?? 0);
  }

  /** Undefined where nothing is known: an EXECUTE of it has to be refused. */
  get(name: string): StatementFacts | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    const facts = factsOf(entry);
    return entry.isLater && this.#forgotten !== undefined
      ? uniteFacts(facts, this.#forgotten.facts)
      : facts;
  }

  /** Notes what a name was given; it may have been given something before. */
  add(name: string, latest: StatementFacts): void {
    const known = this.#entries.get(name);
    const facts = known === undefined ? latest : add(known.facts, latest);
    const isLater = known?.isLater ?? this.#forgotten !== undefined;
    this.#remove(name);
    const factBytes = facts instanceof FactUnion ? facts.bytes : sizeOfFacts(facts);
    const bytes = entryBytes + name.length * 2 + factBytes;
    this.#entries.set(name, { facts, isLater, bytes });
    this.#bytes += bytes;
    this.#forgetOldest();
  }

  #forgetOldest(): void {
    const { maxNames, maxBytes } = this.#limits;
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= maxNames && this.#bytes <= maxBytes) break;
      this.#remove(oldest);
      if (this.#forgotten === undefined) this.#forgotten = new FactUnion(factsOf(entry));
      else this.#forgotten.add(factsOf(entry));
    }
  }

  #remove(name: string): void {
    this.#bytes -= this.#entries.get(name)?.bytes ?? 0;
    this.#entries.delete(name);
  }
}

function factsOf({ facts }: Entry): StatementFacts {
  return facts instanceof FactUnion ? facts.facts : facts;
}

function add(known: Entry['facts'], latest: StatementFacts): Entry['facts'] {
  if (known === latest) return known;
  return (known instanceof FactUnion ? known : new FactUnion(known)).add(latest);
}
