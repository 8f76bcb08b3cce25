/**
 * From the client to the database: every statement is written down before its last byte goes on. Where a role restricts
 * statements, or the audit is strict, a statement and all behind it wait until it may go, or is refused in its own place.
 */
import type { Session } from '@gatehouse/protocol-api';

import { sqlstates } from '../errors.js';
import type { Denial, PolicyGate } from '../policy/policy-gate.js';
import { encodeErrorResponse, encodeParse, encodeQuery } from '../wire/encode.js';
import {
  parseBind,
  parseBoundValues,
  parseExecute,
  parseFunctionCall,
  parseParse,
  parseQuery,
} from '../wire/frontend.js';
import { MessageReader, type Piece } from '../wire/message-reader.js';
import { createTypeTable, frontendLimits, frontendType, headBytes } from '../wire/message-types.js';
import { StatementCollector, type Statement } from '../wire/statement.js';
import { findText, startsRequest, toExecution, type Asked } from './asked.js';
import { LastBound } from './last-bound.js';
import type { Output } from './output.js';
import type { Execution } from './pipeline-entries.js';
import { pipelineFrontendTypes, type Pipeline } from './pipeline.js';
import { maxToldValues, type Note, type StatementLog } from './statement-log.js';

/** A text up to this long can wait as a whole, and be refused as a whole. */
const maxHeldBytes = 8 * 1024 * 1024;
/** No server takes it for SQL; it stands in the place of what is refused. */
const refusedText = 'refused by Gatehouse';
/** A prepared statement that never comes to be: its text is `refusedText`. */
const refusedName = 'gatehouse_refused';

/** One value more than are told: it says that there are more. */
const valueLimits = { maxValues: maxToldValues + 1, maxValueBytes: 1024 };

export interface ClientSideParts {
  readonly session: Pick<Session, 'options'>;
  readonly pipeline: Pipeline<Note>;
  readonly gate: PolicyGate;
  readonly log: StatementLog;
  readonly output: Output;
  /** False: nothing more may be taken just now; `advance` is called when it may. */
  readonly mayGoOn: () => boolean;
}

/** Passes on what has waited, or has it wait again. */
type Send = () => Promise<void> | undefined;

export class ClientSide {
  readonly #parts: ClientSideParts;
  readonly #reader = new MessageReader({
    limits: frontendLimits,
    wholeBytes: createTypeTable([
      ...pipelineFrontendTypes,
      [frontendType.query, maxHeldBytes],
      [frontendType.parse, maxHeldBytes],
      [frontendType.functionCall, maxHeldBytes],
      [frontendType.terminate, headBytes],
    ]),
  });
  #long: LongStatement | undefined;
  /** Of what comes in pieces: none of it goes on. */
  #isDropping = false;
  /** Waits for the event log. */
  #announced: Note | undefined;
  readonly #bound: LastBound;
  #isOver = false;
  #hasLeft = false;
  #isDrained = true;

  constructor(parts: ClientSideParts) {
    this.#parts = parts;
    this.#bound = new LastBound(parts.log);
  }

  /** The client has said goodbye. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** All that came has been passed on: only then may more be pushed. */
  get isDrained(): boolean {
    return this.#isDrained;
  }

  /** The pipeline is, and nothing of a message has gone on of which the rest has not: something may be put in here. */
  get isFull(): boolean {
    return this.#parts.pipeline.isFull && this.#reader.isAtBoundary;
  }

  /** Nothing goes on any more; what still waits comes to nothing. */
  end(reason: string): void {
    this.#isOver = true;
    this.#announced?.announced.abandon(reason);
    this.#bound.settle();
    this.#bound.answered(true);
  }

  /** Answers have come: what is bound and was not executed is under way no more when all that was sent has its own. */
  answered(): void {
    if (this.#isDrained && this.#parts.pipeline.isAnswered) this.#bound.settle();
    else this.#bound.answered();
  }

  /** Takes what came; then call `advance`. The chunk is kept. */
  push(chunk: Buffer): void {
    this.#isDrained = false;
    this.#reader.push(chunk);
  }

  /**
   * Passes on what may go. Returns a promise where something must wait: call it again when that has resolved. Where it is
   * not drained without one, the pipeline is full, or nothing may go on: call it again when that is over.
   * @throws WireError
   */
  advance(): Promise<void> | undefined {
    const { output, mayGoOn } = this.#parts;
    let wait: Promise<void> | undefined;
    while (wait === undefined && !this.isFull && mayGoOn()) {
      const piece = this.#reader.next();
      this.#isDrained = piece === undefined;
      if (piece === undefined) break;
      wait = this.#take(piece);
    }
    output.flush();
    return wait;
  }

  #take(piece: Piece): Promise<void> | undefined {
    const { pipeline, output } = this.#parts;
    if (startsRequest(piece)) pipeline.checkCertain();
    if (this.#isDropped(piece)) return undefined;
    if (piece.kind === 'run') pipeline.sent(piece);
    else if (this.#isOfLong(piece)) {
      this.#takeLong(piece);
      return undefined;
    } else if (piece.kind !== 'more') {
      const asked = this.#read(piece);
      if (asked !== undefined) return this.#ask(asked);
      if (piece.type === frontendType.bind) return this.#bind(piece);
      this.#send(piece);
      return undefined;
    }
    output.forward(piece);
    return undefined;
  }

  /**
   * A server that skips throws it away. It is not sent, so that it is not executed either where the server does not skip,
   * whatever we believe.
   */
  #isDropped(piece: Piece): boolean {
    if (piece.kind === 'more') {
      const isDropped = this.#isDropping;
      if (piece.isLast) this.#isDropping = false;
      return isDropped;
    }
    if (!startsRequest(piece) || !this.#parts.pipeline.isSkipping) return false;
    this.#drop(piece);
    return true;
  }

  /** What is no statement. */
  #send(piece: Piece): void {
    const { pipeline, output } = this.#parts;
    if (piece.type === frontendType.terminate) this.#hasLeft = true;
    if (piece.type === frontendType.sync) this.#bound.settle();
    pipeline.send(piece);
    output.forward(piece);
  }

  /** A server plans here, and runs what it takes for constant: so what is bound is written down as what is executed. */
  #bind(piece: Piece): Promise<void> | undefined {
    const { session, pipeline, log, output } = this.#parts;
    const { portal, statement: name } = parseBind(piece);
    const keepsValues = session.options.dbBindValues && piece.kind === 'message';
    const values = keepsValues ? parseBoundValues(piece, valueLimits) : undefined;
    const statement = pipeline.preparedStatement(name);
    const note = log.announce({ kind: 'execute', statement, values });
    const send = () => {
      this.#bound.set({ name: portal, portal: pipeline.bind(portal, name, values), note });
      output.forward(piece);
      return undefined;
    };
    if (note.announced.acknowledged === undefined) return send();
    const asked: Asked = { piece, kind: 'execute', name: portal, statement };
    return this.#sendAcknowledged(asked, note, () => {
      if (pipeline.preparedStatement(name) === statement) return send();
      // A Parse that failed meanwhile, or SQL that was answered, gave the name another text.
      note.announced.abandon('not_sent');
      return this.#bind(piece);
    });
  }

  #read(piece: Piece): Asked | undefined {
    switch (piece.type) {
      case frontendType.query:
        return { piece, kind: 'query', name: '', statement: parseQuery(piece) };
      case frontendType.parse:
        return { piece, kind: 'parse', ...parseParse(piece) };
      case frontendType.execute: {
        const name = parseExecute(piece);
        const statement = this.#parts.pipeline.portalStatement(name);
        return { piece, kind: 'execute', name, statement };
      }
      case frontendType.functionCall:
        return { piece, kind: 'function', name: '', statement: parseFunctionCall(piece) };
      default:
        return undefined;
    }
  }

  #ask(asked: Asked): Promise<void> | undefined {
    if (this.#mustWait && !this.#parts.pipeline.isSkipping) return this.#askFirst(asked);
    this.#sendStatement(asked, this.#takeBound(asked));
    this.#parts.output.forward(asked.piece);
    return undefined;
  }

  /** Decides, and has the event log take note, before anything goes on. */
  async #askFirst(asked: Asked): Promise<void> {
    const { gate, log, pipeline, session, output } = this.#parts;
    const denial = gate.isClosed ? await this.#judge(asked) : undefined;
    if (denial !== undefined) return this.#refuse(asked, denial);
    const send = (note: Note | undefined) => {
      this.#sendStatement(asked, note);
      output.forward(asked.piece);
      return undefined;
    };
    const bound = this.#takeBound(asked);
    if (bound !== undefined || session.options.audit !== 'strict' || asked.kind === 'parse')
      return this.#sendIfWanted(asked, bound, () => send(bound));
    const note = log.announce({ ...toExecution(asked), values: undefined });
    return this.#sendAcknowledged(asked, note, () => {
      const isSame =
        asked.kind !== 'execute' || pipeline.portalStatement(asked.name) === asked.statement;
      if (isSame) return send(note);
      // As for a Bind, another text than the one that was acknowledged.
      note.announced.abandon('not_sent');
      return this.#askFirst({ ...asked, statement: pipeline.portalStatement(asked.name) });
    });
  }

  /** SQL that is not bound may run what is by its name. */
  #takeBound({ kind, name }: Asked): Note | undefined {
    if (kind === 'execute') return this.#bound.take(name, this.#parts.pipeline.portal(name));
    if (kind !== 'parse') this.#bound.settle();
    return undefined;
  }

  async #sendAcknowledged(asked: Asked, note: Note, send: Send): Promise<void> {
    this.#announced = note;
    try {
      await note.announced.acknowledged;
    } catch {
      this.#drop(asked.piece);
      return this.#replace(asked, sqlstates.auditUnavailable, 'audit is not available');
    } finally {
      this.#announced = undefined;
    }
    return this.#sendIfWanted(asked, note, send);
  }

  /** Something before it may have failed while it waited. */
  #sendIfWanted({ piece }: Asked, note: Note | undefined, send: Send): Promise<void> | undefined {
    const { pipeline, log } = this.#parts;
    if (this.#isOver) return undefined;
    pipeline.checkCertain();
    if (!pipeline.isSkipping) return send();
    this.#drop(piece);
    if (note !== undefined) log.dropped(note, 'skipped');
    return undefined;
  }

  /** What comes of it in pieces is not taken for messages. */
  #drop({ kind }: Piece): void {
    this.#isDropping = kind === 'begin';
  }

  /** Notes it with the pipeline, and with the audit where that has not been done. */
  #sendStatement(asked: Asked, note: Note | undefined): void {
    const { pipeline, log } = this.#parts;
    const execution = this.#push(asked);
    if (asked.kind === 'parse') {
      if (asked.name !== '') log.prepared(asked.statement, { name: asked.name });
      return;
    }
    if (execution !== undefined) execution.note = note ?? log.announce(execution);
    else if (note !== undefined) log.dropped(note, pipeline.isSkipping ? 'skipped' : 'not_sent');
  }

  #push(asked: Asked, replacement?: Buffer): Execution<Note> | undefined {
    const { pipeline } = this.#parts;
    const { kind, name, statement } = asked;
    switch (kind) {
      case 'query':
        return statement && pipeline.query(statement, replacement);
      case 'execute':
        return pipeline.execute(name, replacement);
      case 'function':
        return statement && pipeline.functionCall(statement, replacement);
      case 'parse':
        if (statement !== undefined) pipeline.parse(name, statement, replacement);
        return undefined;
    }
  }

  async #judge({ piece, kind, name, statement }: Asked): Promise<Denial | undefined> {
    const { gate } = this.#parts;
    if (kind === 'function') return gate.judgeFunctionCall();
    const wholeText =
      statement === undefined || statement.isTruncated ? findText(piece, kind) : statement.text;
    return gate.judge(statement, { wholeText, ...(kind === 'parse' ? { name } : {}) });
  }

  #refuse(asked: Asked, denial: Denial): void {
    this.#parts.log.denied(
      { ...toExecution(asked), values: undefined },
      {
        rule: denial.message,
        statementClass: denial.statementClass,
      },
    );
    this.#replace(asked, sqlstates.denied, `denied: ${denial.message}`);
  }

  /** The server is asked for what it must refuse, and its error is swapped for ours. */
  #replace(asked: Asked, sqlstate: string, message: string): void {
    const { output, pipeline } = this.#parts;
    pipeline.checkCertain();
    if (pipeline.isSkipping) return;
    this.#push(asked, encodeErrorResponse({ severity: 'ERROR', sqlstate, message }));
    const isSimple = asked.kind === 'query' || asked.kind === 'function';
    const name = asked.kind === 'parse' ? asked.name : refusedName;
    output.write(isSimple ? encodeQuery(refusedText) : encodeParse(name, refusedText));
    output.flush();
  }

  #isOfLong({ kind, type }: Piece): boolean {
    return longKinds[type] !== undefined && (kind === 'begin' || kind === 'more');
  }

  /** A text too long to wait: it passes in pieces, all but the last before it is known, or is refused for its length. */
  #takeLong(piece: Piece): void {
    if (piece.kind === 'begin') this.#long = this.#beginLong(piece);
    const { collector, isRefused = false } = this.#long ?? {};
    collector?.push(piece);
    if (piece.isLast && this.#long !== undefined) this.#endLong(piece, this.#long);
    if (!isRefused) this.#parts.output.forward(piece);
  }

  #beginLong(piece: Piece): LongStatement {
    const kind = longKinds[piece.type] ?? 'query';
    const isRefused = this.#mustWait;
    if (kind === 'function') return { kind, call: parseFunctionCall(piece), isRefused };
    return { kind, collector: new StatementCollector(kind), isRefused };
  }

  #endLong(piece: Piece, { kind, collector, call, isRefused }: LongStatement): void {
    const { name, statement } = collector?.finish() ?? { name: '', statement: call };
    const asked: Asked = { piece, kind, name, statement };
    this.#long = undefined;
    if (isRefused) this.#refuse(asked, tooLong);
    else this.#sendStatement(asked, undefined);
  }

  get #mustWait(): boolean {
    const { gate, session } = this.#parts;
    return gate.isClosed || session.options.audit === 'strict';
  }
}

const longKinds: Readonly<Record<number, LongStatement['kind']>> = {
  [frontendType.query]: 'query',
  [frontendType.parse]: 'parse',
  [frontendType.functionCall]: 'function',
};

interface LongStatement {
  readonly kind: 'query' | 'parse' | 'function';
  readonly collector?: StatementCollector;
  /** In place of it for a call, which has no text. */
  readonly call?: Statement;
  /** None of it goes on. */
  readonly isRefused: boolean;
}

const tooLong: Denial = {
  message: 'the statement is too long to wait for a decision or for the audit',
  statementClass: undefined,
};
