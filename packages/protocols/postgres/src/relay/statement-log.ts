/** What the audit and the transcript hear of statements. */
import { textOfBytes } from '@gatehouse/kit/event-log';
import type { Announced, Recorder, Session, SessionEvent } from '@gatehouse/protocol-api';

import { sqlstates } from '../errors.js';
import type { StatementClass } from '../policy/facts.js';
import type { BoundValue } from '../wire/frontend.js';
import type { Statement } from '../wire/statement.js';
import { classOfCommand } from './command-class.js';
import type { Execution, Outcome } from './pipeline-entries.js';
import type { Portal } from './prepared-names.js';

/** What is kept with a statement that was announced. */
export interface Note {
  readonly announced: Announced;
  startedAt: number;
  /** The unnamed portal that it was written down for: of what the server bound, the text is told in any case. */
  portal?: Portal | undefined;
  /** The last of a simple query's statements that was answered; told when it is known whether another follows. */
  held?: SessionEvent | undefined;
}

/** Values bound to one statement that an event holds. */
export const maxToldValues = 200;
/** Of a text in the transcript; the event has more. */
const maxShownChars = 4096;
const unknownText = 'text not known: it was prepared too long ago, or by SQL';

/** Of a text that an event of the session has had as a whole, so that what costs a client nothing costs the audit little. */
const maxRepeatedBytes = 1024;

/** A text as events have it. */
interface Text {
  readonly whole: StatementData;
  /** Where it is shorter. */
  readonly repeated: StatementData;
  isTold: boolean;
}

/** What is executed. */
type What = Pick<Execution, 'kind' | 'statement' | 'values'>;

type StatementData = Readonly<Record<string, unknown>>;

export class StatementLog {
  readonly #session: Session;
  readonly #prompt: string;
  #texts = new WeakMap<Statement, Text>();
  #dropped = 0;
  #recorder: Recorder | undefined;

  constructor(session: Session, database: string) {
    this.#session = session;
    this.#prompt = `${database}=> `;
  }

  /** Begins the transcript. */
  open(): void {
    this.#recorder = this.#session.record({ columns: 120, rows: 40, isTranscript: true });
  }

  /** A statement is about to be sent on. */
  announce(what: What): Note {
    const announced = this.#session.announce({
      type: 'db.statement_started',
      outcome: 'success',
      data: this.#describe(what),
    });
    return { announced, startedAt: performance.now() };
  }

  /** It has a name now by which SQL can run it, so that its text stands in no message that does. */
  prepared(
    statement: Statement | undefined,
    names: { readonly name: string } | { readonly portal: string },
  ): void {
    const data = { ...this.#tell({ kind: 'parse', statement, values: undefined }), ...names };
    this.#session.emit({ type: 'db.statement_prepared', outcome: 'success', data });
  }

  /** It was bound, and so planned, but nothing executed it. */
  boundOnly({ statement }: Portal, { name, note: { announced } }: { name: string; note: Note }) {
    const what = this.#tell({ kind: 'execute', statement, values: undefined });
    const data = { ...what, portal: name };
    announced.finish({ type: 'db.statement_prepared', outcome: 'success', data });
  }

  /** It was executed, or failed. */
  finished(execution: Execution<Note>, outcome: Outcome): void {
    const { note } = execution;
    const now = performance.now();
    const durationMs = note === undefined ? 0 : Math.round((now - note.startedAt) * 1000) / 1000;
    const event = this.#toEvent(execution, outcome, durationMs);
    this.#show(event);
    if (note === undefined) return this.#session.emit(event);
    this.#tellHeld(note);
    if (execution.kind !== 'query' || outcome.kind === 'failed')
      return note.announced.finish(event);
    note.held = event;
    note.startedAt = now;
  }

  /** No more statements follow: the last one answers for what was announced, which is under way until here. */
  ended({ note }: Execution<Note>): void {
    if (note?.held === undefined) return;
    note.announced.finish(note.held);
    note.held = undefined;
  }

  #tellHeld(note: Note): void {
    if (note.held !== undefined) this.#session.emit(note.held);
    note.held = undefined;
  }

  /** Sent, and thrown away by the server because one before it failed. */
  skipped({ note }: Execution<Note>): void {
    if (note !== undefined) this.dropped(note, 'skipped');
  }

  /** It is not executed, but it may have been bound. */
  dropped(note: Note, reason: string): void {
    if (note.portal?.state === 'bound') this.boundOnly(note.portal, { name: '', note });
    else note.announced.abandon(reason);
  }

  /** It will never be known what became of it. */
  lost(execution: Execution<Note>, reason: string): void {
    const { note } = execution;
    if (note === undefined) return;
    if (execution.answers > 0 && !mayHaveMore(execution.statement)) return this.ended(execution);
    this.#tellHeld(note);
    note.announced.finish({
      type: 'db.statement_executed',
      outcome: 'failure',
      reason,
      data: {
        ...this.#tell(execution),
        ...(execution.answers === 0 ? {} : { index: execution.answers }),
        rows: null,
        bytes: execution.bytes,
        durationMs: Math.round(performance.now() - note.startedAt),
        sqlstate: null,
        error: null,
      },
    });
  }

  /** The end of an implicit transaction failed, and undid what was told as executed. */
  commitFailed({ sqlstate, message }: { readonly sqlstate: string; readonly message: string }) {
    this.#session.emit({
      type: 'db.commit_failed',
      outcome: 'failure',
      reason: 'error',
      data: { sqlstate, error: fromLatin1(message) },
    });
  }

  /** Refused before it was sent. */
  denied(
    what: What,
    why: { readonly rule: string; readonly statementClass: StatementClass | undefined },
  ): void {
    this.#session.emit({
      type: 'db.statement_denied',
      outcome: 'denied',
      reason: 'policy',
      data: {
        ...this.#tell(what),
        class: why.statementClass ?? null,
        rule: why.rule,
      },
    });
    this.#write(`${this.#prompt}${this.#shown(what.statement)}\n denied: ${why.rule}\n`);
  }

  #toEvent(execution: Execution<Note>, outcome: Outcome, durationMs: number): SessionEvent {
    const { error, command, rows = null, bytes, index } = outcome;
    const data = {
      ...this.#tell(execution),
      ...(command === '' ? {} : { class: classOfCommand(command) }),
      ...(index === 0 ? {} : { index }),
      rows,
      bytes,
      durationMs,
      sqlstate: null,
      error: null,
    };
    const type = 'db.statement_executed';
    if (error === undefined) return { type, outcome: 'success', data };
    const { sqlstate } = error;
    return {
      type,
      outcome: 'failure',
      reason: sqlstate === sqlstates.cancelled ? 'cancelled' : 'error',
      data: { ...data, sqlstate, error: describeFailure(execution, error, this.#keepsValues) },
    };
  }

  get #keepsValues(): boolean {
    return this.#session.options.dbBindValues;
  }

  /** For an event that is published. */
  #tell(what: What): StatementData {
    const data = this.#describe(what);
    const text = what.statement && this.#texts.get(what.statement);
    if (text !== undefined) text.isTold = true;
    return data;
  }

  #describe({ kind, statement, values }: What): StatementData {
    const text = statement === undefined ? describeUnknown() : this.#describeText(statement);
    const data = kind === 'function' ? { ...text, class: 'call' } : text;
    if (values === undefined || !this.#keepsValues) return data;
    const told = values.slice(0, maxToldValues);
    const isCut = told.length < values.length || told.some(isCutValue);
    return {
      ...data,
      values: told.map(describeValue),
      ...(isCut ? { valuesTruncated: true } : {}),
    };
  }

  #describeText(statement: Statement): StatementData {
    this.#noteDropped();
    let text = this.#texts.get(statement);
    if (text === undefined) {
      const whole = describeText(statement, statement.text);
      const repeated = cutText(statement.text, maxRepeatedBytes);
      const isShorter = repeated.length < statement.text.length;
      text = {
        whole,
        repeated: isShorter ? describeText(statement, repeated) : whole,
        isTold: false,
      };
      this.#texts.set(statement, text);
    }
    return text.isTold ? text.repeated : text.whole;
  }

  /** What was told by events that were dropped is told again. */
  #noteDropped(): void {
    const { droppedEvents } = this.#session;
    if (droppedEvents !== this.#dropped) this.#texts = new WeakMap();
    this.#dropped = droppedEvents;
  }

  #show({ outcome, data }: SessionEvent): void {
    const { sqlstate, error, rows, durationMs } = data;
    const count = typeof rows === 'number' ? `${rows} rows` : 'done';
    const result =
      outcome === 'success'
        ? `${count}, ${String(durationMs)} ms`
        : `ERROR ${String(sqlstate)}: ${String(error)}`;
    const text = String(data['statement']).slice(0, maxShownChars);
    this.#write(`${this.#prompt}${text}\n ${result}\n`);
  }

  #shown(statement: Statement | undefined): string {
    return statement === undefined
      ? unknownText
      : textOfBytes(statement.text).slice(0, maxShownChars);
  }

  #write(text: string): void {
    // What was typed must not act on the terminal of whoever plays it.
    const safe = text.replaceAll(/[^\n\t\P{C}]/gu, '\u{fffd}').replaceAll('\n', '\r\n');
    this.#recorder?.output(Buffer.from(safe));
  }
}

/** Another statement may stand in the text: something is behind a semicolon, or not kept. */
function mayHaveMore(statement: Statement | undefined): boolean {
  if (statement === undefined || statement.isTruncated) return statement !== undefined;
  const unquoted = statement.text.toString('latin1').replaceAll(/'[^']*'|"[^"]*"/g, '');
  return /;\s*[^\s;]/.test(unquoted);
}

function describeText({ statementBytes, sha256 }: Statement, text: Buffer): StatementData {
  return {
    statement: textOfBytes(text),
    statementBytes,
    sha256,
    truncated: text.length < statementBytes,
    class: null,
  };
}

/** The beginning of a text that splits no character of UTF-8. */
function cutText(text: Buffer, bytes: number): Buffer {
  if (text.length <= bytes) return text;
  let end = bytes;
  while (end > bytes - 4 && ((text[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return text.subarray(0, end);
}

function describeUnknown(): StatementData {
  return { statement: unknownText, statementBytes: 0, sha256: '', truncated: false, class: null };
}

function isCutValue({ bytes, valueBytes }: BoundValue): boolean {
  return bytes !== undefined && bytes.length < valueBytes;
}

function describeValue({ format, bytes }: BoundValue): string | null {
  if (bytes === undefined) return null;
  return format === 'text' ? textOfBytes(bytes) : `\\x${bytes.toString('hex')}`;
}

function describeFailure(
  { kind }: What,
  { sqlstate, message }: { readonly sqlstate: string; readonly message: string },
  keepsValues: boolean,
): string {
  const text = fromLatin1(message);
  // Errors about data (class 22) quote the value, which may be one that was bound and is not for the audit.
  const mayQuoteValues = !keepsValues && kind !== 'query' && sqlstate.startsWith('22');
  return mayQuoteValues ? text.replace(/["'„“”«»].*$/su, '…') : text;
}

function fromLatin1(text: string): string {
  return textOfBytes(Buffer.from(text, 'latin1'));
}
