/**
 * What the names of prepared statements and portals stand for (PostgreSQL §55.2.3), as far as the client has said. The
 * server knows better: SQL can prepare, deallocate and discard too. So a name may be unknown here and known there, and
 * its text is then not known. It is also not known of what was prepared too many statements ago.
 */
import type { BoundValue } from '../wire/frontend.js';
import type { Statement } from '../wire/statement.js';

/** What a name costs besides the bytes it keeps. */
const overheadBytes = 256;

/** What a name can stand for. */
export interface Named {
  /** Memory that goes when it is forgotten. */
  readonly keptBytes: number;
  /** The part of it that came with it, and which nothing else keeps. */
  readonly ownBytes: number;
}

export interface PreparedNamesOptions {
  /** Beyond it the oldest is forgotten. */
  readonly maxNames: number;
  /** Bound on `keptBytes` of all, likewise; 256 more are counted for each. */
  readonly maxBytes: number;
}

/** Names of one kind, of one session. The empty name is one of its own and never forgotten for age. */
export class PreparedNames<Value extends Named> {
  private readonly named = new Map<string, Value>();
  private unnamed: Value | undefined;
  private keptBytes = 0;
  private takings = 0;

  constructor(private readonly options: PreparedNamesOptions) {}

  get(name: string): Value | undefined {
    return name === '' ? this.unnamed : this.named.get(name);
  }

  /** Gives a name a meaning, or with undefined takes it. Returns what it meant. */
  replace(name: string, value: Value | undefined): Value | undefined {
    if (name === '') {
      const previous = this.unnamed;
      this.unnamed = value;
      return previous;
    }
    const previous = this.named.get(name);
    if (previous !== undefined) this.forget(name, previous);
    if (value !== undefined) {
      this.named.set(name, value);
      this.keptBytes += value.keptBytes + overheadBytes;
      this.forgetOldest();
    }
    return previous;
  }

  /** How often SQL took names. */
  get taken(): number {
    return this.takings;
  }

  /** SQL takes a name, or all: what they meant before is not known to be true again, whatever fails. */
  take(name: string | undefined): void {
    this.takings += 1;
    if (name === undefined) this.clear();
    else this.replace(name, undefined);
  }

  clear(): void {
    this.unnamed = undefined;
    if (this.named.size === 0) return;
    this.named.clear();
    this.keptBytes = 0;
  }

  private forgetOldest(): void {
    const { maxNames, maxBytes } = this.options;
    if (this.named.size <= maxNames && this.keptBytes <= maxBytes) return;
    for (const [name, value] of this.named) {
      this.forget(name, value);
      if (this.named.size <= maxNames && this.keptBytes <= maxBytes) return;
    }
  }

  private forget(name: string, value: Value): void {
    this.named.delete(name);
    this.keptBytes -= value.keptBytes + overheadBytes;
  }
}

/** A statement with its parameters, ready to be executed. */
export class Portal implements Named {
  /** The server has said so. */
  isBound = false;

  constructor(
    /** Undefined: its text is not known. */
    readonly statement: Statement | undefined,
    /** Undefined: nobody asked for them. */
    readonly values: readonly BoundValue[] | undefined,
  ) {}

  get keptBytes(): number {
    return (this.statement?.keptBytes ?? 0) + this.ownBytes;
  }

  get ownBytes(): number {
    let total = 0;
    for (const value of this.values ?? []) total += (value.bytes?.length ?? 0) + overheadBytes;
    return total;
  }
}
