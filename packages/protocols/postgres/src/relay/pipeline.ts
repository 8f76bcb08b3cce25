/**
 * Which answer belongs to which statement (PostgreSQL §55.2.2 to §55.2.7).
 *
 * A server answers in the order in which it was asked, so what was sent on waits in a queue for its answer. After an
 * error in the extended protocol the server throws everything away up to the next Sync; so does the queue, and what those
 * messages did to names is undone. A simple query is answered once for each statement in it, and then by ReadyForQuery.
 *
 * A statement that is refused is still asked for, by a text that no server accepts (`encodeQuery`, or `encodeParse` in
 * place of a Parse or Execute). The error that comes back is swapped for ours: order, skipping and transaction status
 * stay the server's own.
 */
import type { TransactionStatus } from '../wire/backend.js';
import {
  parseBind,
  parseClose,
  parseExecute,
  parseFunctionCall,
  parseParse,
  parseQuery,
  type BoundValue,
} from '../wire/frontend.js';
import type { Piece } from '../wire/message-reader.js';
import { backendType, frontendType, headBytes } from '../wire/message-types.js';
import type { Statement } from '../wire/statement.js';
import { AnswerQueue, type PipelineEvents } from './answer-queue.js';
import { describeStep, Execution, NameChange, type Outcome } from './pipeline-entries.js';
import { Portal, PreparedNames, type Taking } from './prepared-names.js';
import { hidesWords, takenName, takingWords } from './taking-words.js';

/** Longest text or parameters that are collected before they are sent on; longer ones come in pieces. */
const maxCollectedBytes = 1024 * 1024;
/** Errors are collected for as long; of a longer one the beginning is read. */
const maxErrorBytes = 64 * 1024;
const maxTagBytes = 1024;
const maxNameMessageBytes = 10_001;

/** What a pipeline must be shown of the client: rows for the reader's `wholeBytes`. */
export const pipelineFrontendTypes: readonly (readonly [number, number])[] = [
  [frontendType.bind, maxCollectedBytes],
  [frontendType.close, maxNameMessageBytes],
  [frontendType.copyDone, headBytes],
  [frontendType.copyFail, headBytes],
  [frontendType.describe, headBytes],
  [frontendType.execute, maxNameMessageBytes],
  [frontendType.functionCall, headBytes + 4],
  [frontendType.parse, maxCollectedBytes],
  [frontendType.query, maxCollectedBytes],
  [frontendType.sync, headBytes],
];

/** What a pipeline must be shown of the server. Notices and the like are, so that runs hold rows and nothing else. */
export const pipelineBackendTypes: readonly (readonly [number, number])[] = [
  [backendType.bindComplete, headBytes],
  [backendType.closeComplete, headBytes],
  [backendType.commandComplete, maxTagBytes],
  [backendType.copyBothResponse, headBytes],
  [backendType.copyInResponse, headBytes],
  [backendType.copyOutResponse, headBytes],
  [backendType.emptyQueryResponse, headBytes],
  [backendType.errorResponse, maxErrorBytes],
  [backendType.functionCallResponse, headBytes],
  [backendType.noData, headBytes],
  [backendType.noticeResponse, headBytes],
  [backendType.notificationResponse, headBytes],
  [backendType.parameterStatus, headBytes],
  [backendType.parseComplete, headBytes],
  [backendType.portalSuspended, headBytes],
  [backendType.readyForQuery, headBytes + 1],
  [backendType.rowDescription, headBytes],
];

/** Tags of statements after which a name stands for something else, or nothing. */
const takingCommands: ReadonlySet<string> = new Set([
  'DEALLOCATE',
  'DEALLOCATE ALL',
  'DISCARD ALL',
  'PREPARE',
]);

/** Words that begin statements after which the same holds. A block has whatever it runs, so that all names are taken. */
const statementWords: readonly string[] = ['prepare', 'deallocate', 'discard', 'do'];
/** The same for portals. */
const portalWords: readonly string[] = ['close', 'declare', 'do'];

/** Tags of those that take portals. */
const cursorCommands: ReadonlySet<string> = new Set([
  'CLOSE CURSOR',
  'CLOSE CURSOR ALL',
  'DECLARE CURSOR',
]);

/** Names that a statement takes; undefined: all. */
interface TakenNames {
  readonly statements: readonly (string | undefined)[];
  readonly portals: readonly (string | undefined)[];
}

interface Takings {
  readonly statements: readonly Taking[];
  readonly portals: readonly Taking[];
}

/** The unanswered messages of one session. Tell it each message before the message is sent on. */
export class Pipeline<Note = undefined> {
  private readonly answers: AnswerQueue<Note>;
  private readonly statements = new PreparedNames<Statement>({
    maxNames: 16_384,
    maxBytes: 8 * 1024 * 1024,
  });
  private readonly portals = new PreparedNames<Portal>({
    maxNames: 1024,
    maxBytes: 2 * 1024 * 1024,
  });
  /** What unanswered ones take. */
  private readonly takings = new Map<Execution<Note>, Takings>();
  /** Unanswered ones of which nobody can see what names they take: until it is known, no name is. */
  private readonly unseen = new Set<Execution<Note>>();

  constructor(events: PipelineEvents<Note>) {
    this.answers = new AnswerQueue({
      ...events,
      finished: (execution, outcome) => {
        if (execution.kind === 'execute') this.identify(execution);
        this.takeNames(execution, outcome);
        if (execution.kind === 'execute') this.endTakings(execution);
        events.finished(execution, outcome);
      },
      ended: (execution) => {
        this.endTakings(execution);
        events.ended(execution);
      },
      skipped: (execution) => {
        this.endTakings(execution);
        events.skipped(execution);
      },
    });
  }

  /** True when the client should be paused until answers have come: 4,096 are owed, or 8 MiB of text waits. */
  get isFull(): boolean {
    return this.answers.isFull;
  }

  /** True when everything is answered and the server waits for the next message. */
  get isIdle(): boolean {
    return this.answers.isIdle;
  }

  /** True when nothing that was sent is owed an answer, though the server may wait for a Sync. */
  get isAnswered(): boolean {
    return this.answers.isEmpty;
  }

  /** As of the last ReadyForQuery. */
  get transactionStatus(): TransactionStatus {
    return this.answers.transactionStatus;
  }

  /**
   * To be asked before a message that asks for something.
   * @throws WireError where nobody can tell whether the server throws it away
   */
  checkCertain(): void {
    this.answers.checkCertain();
  }

  /** True when the server throws away what is sent now, up to the next Sync: it has failed, or is certain to. */
  get isSkipping(): boolean {
    return this.answers.isSkipping;
  }

  /**
   * A message of the client, or its `begin`, that is sent on as it is. Returns what it executes, if anything. But a Query
   * or Parse in pieces is read by a StatementCollector and told to `query` or `parse` with its last piece.
   *
   * @throws WireError for a malformed message
   */
  send(piece: Piece): Execution<Note> | undefined {
    switch (piece.type) {
      case frontendType.query:
        return this.query(parseQuery(piece));
      case frontendType.execute:
        return this.execute(parseExecute(piece));
      case frontendType.functionCall:
        return this.functionCall(parseFunctionCall(piece));
      default:
        this.sendStep(piece);
        return undefined;
    }
  }

  /** A Query. Undefined when the server skips it. @param replacement refused: the ErrorResponse instead */
  query(statement: Statement, replacement?: Buffer): Execution<Note> | undefined {
    const execution = new Execution<Note>('query', statement, undefined, replacement);
    return this.pushExecution(execution, this.takingsOf(statement, { isQuery: true, replacement }));
  }

  /** An Execute. Undefined when the server skips it. @param replacement refused: the ErrorResponse instead */
  execute(name: string, replacement?: Buffer): Execution<Note> | undefined {
    const { statement, values } = this.portal(name) ?? {};
    const execution = new Execution<Note>('execute', statement, values, replacement, name);
    return this.pushExecution(
      execution,
      this.takingsOf(statement, { isQuery: false, replacement }),
    );
  }

  /** A FunctionCall. Undefined when the server skips it. @param replacement refused: the ErrorResponse instead */
  functionCall(statement: Statement, replacement?: Buffer): Execution<Note> | undefined {
    return this.pushExecution(new Execution<Note>('function', statement, undefined, replacement));
  }

  /** A Parse. @param replacement refused: the ErrorResponse instead */
  parse(name: string, statement: Statement, replacement?: Buffer): void {
    if (this.isSkipping) return;
    this.answers.push(new NameChange('parse', this.statements, name, statement, replacement));
  }

  /** A Bind. @param values what the audit is to know of its parameters */
  bind(portalName: string, statementName: string, values?: readonly BoundValue[]): Portal {
    const statements = {
      get: (name: string) => this.preparedStatement(name),
      settled: (name: string) => this.statements.settled(name),
    };
    const portal = new Portal(statements, statementName, values);
    if (!this.isSkipping)
      this.answers.push(new NameChange('bind', this.portals, portalName, portal));
    return portal;
  }

  /** What a Bind of this name binds; undefined: not known. */
  preparedStatement(name: string): Statement | undefined {
    return this.unseen.size === 0 ? this.statements.get(name) : undefined;
  }

  /** What an Execute of this name executes; undefined: not known. */
  portal(name: string): Portal | undefined {
    return this.unseen.size === 0 ? this.portals.get(name) : undefined;
  }

  /** Its text; undefined: not known. */
  portalStatement(portalName: string): Statement | undefined {
    return this.portal(portalName)?.statement;
  }

  /** A run of the client: COPY data. */
  sent(run: Piece): void {
    this.answers.sent(run);
  }

  /** A run of the server: rows or COPY data. */
  passed(run: Piece): void {
    this.answers.passed(run);
  }

  /**
   * A message of the server, or its `begin`. Returns what the client is to get instead of it; undefined: just that.
   *
   * @throws WireError for a malformed one, or an answer to what was not asked: nobody knows then any more what belongs
   *   to what, and the session must end
   */
  receive(piece: Piece): Buffer | undefined {
    const swapped = this.answers.receive(piece);
    // Portals end with their transaction.
    if (piece.type === backendType.readyForQuery && this.transactionStatus === 'I')
      this.portals.clear();
    return swapped;
  }

  /** What will not be answered any more, because the connection ended. The first may have been running. */
  takeUnanswered(): Execution<Note>[] {
    return this.answers.takeUnanswered();
  }

  /** It is answered, and so is all before it: what its portal is bound to is no longer what the client must mean. */
  private identify(execution: Execution<Note>): void {
    const portal = this.portals.settled(execution.portal);
    execution.statement = portal?.statement;
    execution.values = portal?.values;
  }

  /** SQL takes names too, and gives them anew: what one of ours stands for is not known then. */
  private takeNames(execution: Execution<Note>, outcome: Outcome): void {
    const { statements = [], portals = [] } = this.takings.get(execution) ?? {};
    for (const { name } of statements) this.statements.take(name);
    for (const { name } of portals) this.portals.take(name);
    this.takeByTag(execution, outcome);
  }

  private takeByTag(execution: Execution<Note>, { kind, command, index }: Outcome): void {
    const isAll = command === 'DO' || (kind === 'failed' && this.mayHaveTaken(execution));
    const name = isAll || index > 0 ? undefined : takenName(execution.statement);
    if (isAll || takingCommands.has(command)) this.statements.take(name);
    if (isAll || cursorCommands.has(command)) this.portals.take(name);
  }

  /** What failed has no tag, and what it did to names stays. */
  private mayHaveTaken({ kind, statement, portal }: Execution<Note>): boolean {
    if (kind === 'query') return hidesWords(kind, statement);
    if (kind !== 'execute') return false;
    if (statement === undefined)
      return this.portals.settled(portal) !== undefined || this.portals.isPartial;
    return hidesWords(kind, statement) || takingWords(statement).size > 0;
  }

  private endTakings(execution: Execution<Note>): void {
    this.unseen.delete(execution);
    const { statements = [], portals = [] } = this.takings.get(execution) ?? {};
    this.takings.delete(execution);
    for (const taking of statements) this.statements.endTaking(taking);
    for (const taking of portals) this.portals.endTaking(taking);
  }

  /** From when it is sent: what comes behind it may be about another statement already. */
  private takingsOf(
    statement: Statement | undefined,
    {
      isQuery,
      replacement,
    }: { readonly isQuery: boolean; readonly replacement: Buffer | undefined },
  ): TakenNames {
    // A simple query ends what has no name (PostgreSQL §55.2.3).
    const unnamed = isQuery ? [''] : [];
    const taken: TakenNames = { statements: unnamed, portals: unnamed };
    if (statement === undefined || replacement !== undefined) return taken;
    const words = takingWords(statement);
    const name = takenName(statement);
    return {
      statements: statementWords.some((word) => words.has(word)) ? [...unnamed, name] : unnamed,
      portals: portalWords.some((word) => words.has(word)) ? [...unnamed, name] : unnamed,
    };
  }

  private sendStep(piece: Piece): void {
    switch (piece.type) {
      case frontendType.parse: {
        const { name, statement } = parseParse(piece);
        return this.parse(name, statement);
      }
      case frontendType.bind: {
        const { portal, statement } = parseBind(piece);
        this.bind(portal, statement);
        break;
      }
      case frontendType.close:
        return this.close(piece);
      case frontendType.describe:
        this.answers.push(describeStep);
        break;
      case frontendType.sync:
        return this.answers.pushSync();
      case frontendType.copyDone:
      case frontendType.copyFail:
        return this.answers.endCopy();
      default:
    }
  }

  private close(piece: Piece): void {
    const { kind, name } = parseClose(piece);
    if (this.isSkipping) return;
    this.answers.push(
      kind === 'statement'
        ? new NameChange('close', this.statements, name, undefined)
        : new NameChange('close', this.portals, name, undefined),
    );
  }

  private pushExecution(
    execution: Execution<Note>,
    taken: TakenNames = { statements: [], portals: [] },
  ): Execution<Note> | undefined {
    if (!this.answers.push(execution)) return undefined;
    if (taken.statements.length > 0 || taken.portals.length > 0)
      this.takings.set(execution, {
        statements: taken.statements.map((name) => this.statements.beginTaking(name)),
        portals: taken.portals.map((name) => this.portals.beginTaking(name)),
      });
    const { kind, statement, replacement } = execution;
    if (replacement === undefined && kind !== 'function' && hidesWords(kind, statement))
      this.unseen.add(execution);
    return execution;
  }
}
