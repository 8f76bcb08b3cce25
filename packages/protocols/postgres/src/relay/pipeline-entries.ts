/** What waits in a pipeline for its answer, and what the answer was. */
import type { ServerError } from '../wire/backend.js';
import type { BoundValue } from '../wire/frontend.js';
import type { Statement } from '../wire/statement.js';
import { Portal, type Named, type PendingName, type PreparedNames } from './prepared-names.js';

/** How a statement ended, or one of those in a simple query. */
export interface Outcome {
  /**
   * - `completed`, `failed`: as they say.
   * - `empty`: there was nothing in its text.
   * - `suspended`: it has more rows than were asked for; the next Execute of its portal is counted by itself.
   */
  readonly kind: 'completed' | 'empty' | 'suspended' | 'failed';
  /** Which statement of a simple query, from 0; else 0. */
  readonly index: number;
  /** `INSERT`, `CREATE TABLE`, …; empty unless completed. */
  readonly command: string;
  /** What the server counted; where it counts none, undefined, or for `suspended` what it sent. */
  readonly rows: number | undefined;
  /** Carried by rows or COPY data, message heads left out: from the client for COPY FROM, else to it. */
  readonly bytes: number;
  /** Only and always for `failed`. */
  readonly error: ServerError | undefined;
}

/** One Query, Execute or FunctionCall that was sent on; `parse` and `bind` only ever fail. */
export class Execution<Note = undefined> {
  /** For the relay to remember something by. */
  note: Note | undefined = undefined;
  /** Outcomes so far. */
  answers = 0;
  rowsPassed = 0;
  bytesToClient = 0;
  bytesFromClient = 0;
  private isCopyIn = false;
  /** True once it read COPY data from the client. */
  hadCopyIn = false;
  /** Syncs that came before the end of copy data, if it comes to that: a server reads over those. */
  earlySyncs = 0;
  /** Ends of COPY data that came and belong to no COPY that has ended. */
  copyEnds = 0;
  /** An error ends the whole of a simple query; only its ReadyForQuery is still to come. */
  hasFailed = false;

  // oxlint-disable-next-line max-params -- made for every statement: an options object would be a second one
  constructor(
    readonly kind: 'query' | 'execute' | 'function' | 'parse' | 'bind',
    /** Undefined where the text is not known. Of an Execute it is what the client must mean, until it is answered. */
    public statement: Statement | undefined,
    /** Undefined unless the Bind was given them. */
    public values: readonly BoundValue[] | undefined,
    /** Set: the statement was refused; this ErrorResponse is the answer. */
    readonly replacement: Buffer | undefined,
    /** Of the portal of an Execute. */
    readonly portal = '',
  ) {}

  /** What nothing else keeps: the text of an Execute is counted where it is named. */
  get ownBytes(): number {
    return this.kind === 'query' ? (this.statement?.ownBytes ?? 0) : 0;
  }

  get isAnswered(): boolean {
    return this.answers > 0 || this.hasFailed;
  }

  /** As in `Outcome`, so far. */
  get bytes(): number {
    return this.isCopyIn ? this.bytesFromClient : this.bytesToClient;
  }

  startCopyIn(): void {
    this.isCopyIn = true;
    this.hadCopyIn = true;
  }

  /** What was counted since the last outcome is counted no more. */
  startNext(): void {
    this.answers += 1;
    if (this.isCopyIn) this.copyEnds = Math.max(0, this.copyEnds - 1);
    this.rowsPassed = 0;
    this.bytesToClient = 0;
    this.bytesFromClient = 0;
    this.isCopyIn = false;
  }
}

/** A Parse, Bind or Close: what it makes of a name. */
export class NameChange<Value extends Named> {
  private readonly pending: PendingName<Value>;

  // oxlint-disable-next-line max-params -- made for every statement: an options object would be a second one
  constructor(
    readonly kind: 'parse' | 'bind' | 'close',
    private readonly names: PreparedNames<Value>,
    readonly name: string,
    readonly value: Value | undefined,
    /** Set: the Parse was refused; this ErrorResponse is the answer. */
    readonly replacement?: Buffer,
  ) {
    this.pending = names.begin(name, value);
  }

  get ownBytes(): number {
    return this.value?.ownBytes ?? 0;
  }

  /** The server has done it. Returns whether a portal is bound to something else than the client must have meant. */
  succeed(): boolean {
    const isOther = this.value instanceof Portal && this.value.answered();
    if (this.value instanceof Portal) this.value.state = 'bound';
    this.names.settle(this.pending);
    return isOther;
  }

  /** The server refused it: the name means what it did, but that the unnamed one goes before anything can fail. */
  fail(): void {
    if (this.value instanceof Portal) this.value.answered();
    this.skip();
    if (this.name === '') this.names.take('');
  }

  /** The server threw it away. */
  skip(): void {
    if (this.value instanceof Portal) this.value.state = 'refused';
    this.names.drop(this.pending);
  }
}

/** A message whose answer says nothing but that it came. */
interface Step {
  readonly kind: 'describe' | 'sync';
  readonly ownBytes: 0;
  readonly replacement: undefined;
}

export const describeStep: Step = { kind: 'describe', ownBytes: 0, replacement: undefined };
export const syncStep: Step = { kind: 'sync', ownBytes: 0, replacement: undefined };

export type Entry<Note> = Execution<Note> | NameChange<Statement> | NameChange<Portal> | Step;

/** A queue whose memory follows its length. */
export class Ring<Item> {
  private items = emptyRing<Item>();
  private head = 0;
  private count = 0;

  get length(): number {
    return this.count;
  }

  get first(): Item | undefined {
    return this.items[this.head];
  }

  push(item: Item): void {
    if (this.count === this.items.length) this.grow();
    this.items[(this.head + this.count) & (this.items.length - 1)] = item;
    this.count += 1;
  }

  shift(): Item | undefined {
    const item = this.items[this.head];
    if (item === undefined) return undefined;
    this.items[this.head] = undefined;
    this.head = (this.head + 1) & (this.items.length - 1);
    this.count -= 1;
    if (this.count === 0 && this.items.length > keptSlots) this.items = emptyRing();
    if (this.count === 0) this.head = 0;
    return item;
  }

  private grow(): void {
    const before = this.items.slice(this.head).concat(this.items.slice(0, this.head));
    this.items = before.concat(Array.from({ length: before.length }, () => undefined));
    this.head = 0;
  }
}

/** An empty ring of more slots gives them back. */
const keptSlots = 1024;

/** Slots are a power of two. */
function emptyRing<Item>(): (Item | undefined)[] {
  return Array.from({ length: 16 }, () => undefined);
}
