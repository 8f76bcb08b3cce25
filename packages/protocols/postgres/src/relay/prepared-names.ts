/**
 * What the names of prepared statements and portals stand for (PostgreSQL §55.2.3). A server does what it is asked in order,
 * so there are two answers: what a name stands for where the answers are (`settled`), and what it will for a message that is
 * sent now, if nothing fails (`get`). SQL can prepare, deallocate and discard too: a name may be unknown here and known there,
 * and its text is then not known. It is also not known of what was prepared too many statements ago.
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

/** What a message that was sent and is not answered makes of a name; undefined: nothing. */
export interface PendingName<Value> {
  readonly name: string;
  readonly value: Value | undefined;
  readonly order: number;
}

/** SQL that was sent and is not answered takes a name, or with undefined all that were given before it. */
export interface Taking {
  readonly name: string | undefined;
  readonly order: number;
}

/** Names of one kind, of one session. The empty name is one of its own and never forgotten for age. */
export class PreparedNames<Value extends Named> {
  private readonly named = new Map<string, Value>();
  private unnamed: Value | undefined;
  private keptBytes = 0;
  /** In the order of sending. */
  private readonly pending = new Map<string, PendingName<Value>[]>();
  /** The last of each name, and by undefined of all. */
  private readonly takings = new Map<string | undefined, number>();
  private order = 0;
  private hasForgotten = false;

  constructor(private readonly options: PreparedNamesOptions) {}

  /** What a message means by it that is sent now; undefined: not known, or nothing. */
  get(name: string): Value | undefined {
    const last = this.pending.get(name)?.at(-1);
    const takenAt = Math.max(this.takings.get(name) ?? 0, this.takings.get(undefined) ?? 0);
    if (takenAt > (last?.order ?? 0)) return undefined;
    return last === undefined ? this.settled(name) : last.value;
  }

  /** What it stands for behind all that is answered. */
  settled(name: string): Value | undefined {
    return name === '' ? this.unnamed : this.named.get(name);
  }

  /** There may be names at the server that are not known here, or mean something else than was said of them. */
  get isPartial(): boolean {
    return this.hasForgotten;
  }

  /** A message that gives the name a meaning is sent, or with undefined one that takes it. */
  begin(name: string, value: Value | undefined): PendingName<Value> {
    this.order += 1;
    const change = { name, value, order: this.order };
    const changes = this.pending.get(name);
    if (changes === undefined) this.pending.set(name, [change]);
    else changes.push(change);
    return change;
  }

  /** The server has done it. */
  settle(change: PendingName<Value>): void {
    this.drop(change);
    this.set(change.name, change.value);
  }

  /** It failed, or was skipped. */
  drop(change: PendingName<Value>): void {
    const changes = this.pending.get(change.name) ?? [];
    const at = changes.indexOf(change);
    if (at >= 0) changes.splice(at, 1);
    if (changes.length === 0) this.pending.delete(change.name);
  }

  /** SQL is sent that takes a name, or all. */
  beginTaking(name: string | undefined): Taking {
    this.order += 1;
    this.takings.set(name, this.order);
    return { name, order: this.order };
  }

  /** It is answered, or skipped. */
  endTaking({ name, order }: Taking): void {
    if (this.takings.get(name) === order) this.takings.delete(name);
  }

  /** A name that is settled, or all, means nothing that is known any more. */
  take(name: string | undefined): void {
    if (name === undefined) this.clear();
    else this.set(name, undefined);
    this.hasForgotten = true;
  }

  /** The server has none any more. */
  clear(): void {
    this.hasForgotten = false;
    this.unnamed = undefined;
    if (this.named.size === 0) return;
    this.named.clear();
    this.keptBytes = 0;
  }

  private set(name: string, value: Value | undefined): void {
    if (name === '') {
      this.unnamed = value;
      return;
    }
    const previous = this.named.get(name);
    if (previous !== undefined) this.forget(name, previous);
    if (value === undefined) return;
    this.named.set(name, value);
    this.keptBytes += value.keptBytes + overheadBytes;
    this.forgetOldest();
  }

  private forgetOldest(): void {
    const { maxNames, maxBytes } = this.options;
    if (this.named.size <= maxNames && this.keptBytes <= maxBytes) return;
    this.hasForgotten = true;
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
  /** What the server has said. */
  state: 'sent' | 'bound' | 'refused' = 'sent';
  private known: Statement | undefined;

  constructor(
    private readonly statements: Pick<PreparedNames<Statement>, 'get' | 'settled'>,
    /** Of the statement that is bound. */
    readonly name: string,
    /** Undefined: nobody asked for them. */
    readonly values: readonly BoundValue[] | undefined,
  ) {
    this.known = statements.get(name);
  }

  /** Undefined: its text is not known. As long as the server has not answered, what the client must mean. */
  get statement(): Statement | undefined {
    return this.known;
  }

  /** The server has answered the Bind: what it is about is known now. Returns whether that is something else. */
  answered(): boolean {
    const meant = this.known;
    this.known = this.statements.settled(this.name);
    return this.known !== meant;
  }

  get keptBytes(): number {
    return (this.statement?.keptBytes ?? 0) + this.ownBytes;
  }

  get ownBytes(): number {
    let total = 0;
    for (const value of this.values ?? []) total += (value.bytes?.length ?? 0) + overheadBytes;
    return total;
  }
}
