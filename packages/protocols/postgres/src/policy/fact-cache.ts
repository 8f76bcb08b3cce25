/** Facts of texts that were parsed before: the same text has the same facts. */
import { sizeOfParsed } from './fact-size.js';
import type { ParsedText } from './facts.js';

interface CacheLimits {
  readonly maxEntries: number;
  /** About what the entries take in memory. */
  readonly maxBytes: number;
}

/** What an entry takes beside its text and facts. */
const entryBytes = 200;

/**
 * Two generations, each half of the limits: what is asked for moves to the new one, and when that is full it becomes the
 * old one, whose texts are forgotten. Moving a text within one Map for each hit would cost more than the parser's answer
 * is worth.
 */
export class FactCache {
  readonly #limits: CacheLimits;
  #young = new Map<string, ParsedText>();
  #old = new Map<string, ParsedText>();
  #youngBytes = 0;

  constructor(limits: CacheLimits) {
    this.#limits = limits;
  }

  get(text: string): ParsedText | undefined {
    const young = this.#young.get(text);
    if (young !== undefined) return young;
    const old = this.#old.get(text);
    if (old !== undefined) this.set(text, old);
    return old;
  }

  set(text: string, parsed: ParsedText): void {
    if (this.#young.has(text)) return;
    const bytes = entryBytes + text.length * 2 + sizeOfParsed(parsed);
    const { maxEntries, maxBytes } = this.#limits;
    if (this.#young.size >= maxEntries / 2 || this.#youngBytes + bytes > maxBytes / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(text, parsed);
    this.#youngBytes += bytes;
  }
}
