/** What was sent to a server and is not answered yet, in order; the half of a pipeline that reads answers. */
import {
  parseCommandComplete,
  parseErrorResponse,
  parseReadyForQuery,
  type CommandTag,
  type ServerError,
  type TransactionStatus,
} from '../wire/backend.js';
import type { Piece } from '../wire/message-reader.js';
import { backendType, headBytes } from '../wire/message-types.js';
import { WireError } from '../wire/wire-error.js';
import {
  Execution,
  NameChange,
  Ring,
  syncStep,
  type Entry,
  type Outcome,
} from './pipeline-entries.js';
import { Portal } from './prepared-names.js';

/** More unanswered messages than this, and the client should be paused. */
const maxEntries = 4_096;
/** The same for the bytes they keep. */
const maxOwnBytes = 8 * 1024 * 1024;

/** Called while an answer is received. */
export interface PipelineEvents<Note = undefined> {
  /** A statement (or one of those in a simple query) ended. Not called for refused ones. */
  finished(execution: Execution<Note>, outcome: Outcome): void;
  /** The ReadyForQuery of a simple query or a call: it has no more statements. */
  ended(execution: Execution<Note>): void;
  /** It was sent and never executed: one before it failed, or its simple query held nothing. */
  skipped(execution: Execution<Note>): void;
  /** A Bind turned out to be about another statement than when it was sent. */
  rebound(portal: Portal, name: string): void;
  /** The commit of a Sync failed, which undid what was executed since the Sync before. */
  commitFailed(error: ServerError): void;
}

type StepKind = 'parse' | 'bind' | 'close' | 'describe';

/** Answers that say that the first in the queue is done. */
const endedSteps: ReadonlyMap<number, StepKind> = new Map([
  [backendType.parseComplete, 'parse'],
  [backendType.bindComplete, 'bind'],
  [backendType.closeComplete, 'close'],
  [backendType.noData, 'describe'],
]);

/** @see Pipeline */
export class AnswerQueue<Note> {
  private readonly entries = new Ring<Entry<Note>>();
  private ownBytes = 0;
  private status: TransactionStatus = 'I';
  private isReady = false;
  private isThrownAway = false;
  /** A COPY failed that may or may not have read over a Sync: whether the server reads what comes now, nobody can tell. */
  private isUncertain = false;
  /** ReadyForQuery that may come for none of the entries. The first is the one that ends the startup. */
  private spareReady = 1;
  /** The last Query or Execute, as long as nothing but Syncs came after it: COPY data belongs to it. */
  private copier: Execution<Note> | undefined;

  constructor(private readonly events: PipelineEvents<Note>) {}

  get isFull(): boolean {
    return this.entries.length >= maxEntries || this.ownBytes >= maxOwnBytes;
  }

  get isIdle(): boolean {
    return this.isReady;
  }

  /** Nothing that was sent is owed an answer, though the server may wait for a Sync. */
  get isEmpty(): boolean {
    return this.entries.length === 0;
  }

  get transactionStatus(): TransactionStatus {
    return this.status;
  }

  get isSkipping(): boolean {
    return this.isThrownAway;
  }

  /** @throws WireError where nobody can tell whether the server throws away what comes now */
  checkCertain(): void {
    if (this.isUncertain) throw new WireError('a statement came before the end of a failed COPY');
  }

  /** Waits for the answer to a message; not where the server skips it. False: it does. */
  push(entry: Entry<Note>): boolean {
    if (this.isThrownAway) return false;
    if (this.entries.length >= 2 * maxEntries) throw new WireError('too many unanswered messages');
    this.entries.push(entry);
    this.ownBytes += entry.ownBytes;
    this.isReady = false;
    this.copier = entry instanceof Execution ? entry : undefined;
    // Its error is certain, and so is that the server throws away what follows.
    if (entry.replacement !== undefined && (entry.kind === 'parse' || entry.kind === 'execute')) {
      this.isThrownAway = true;
    }
    return true;
  }

  /** A Sync: always answered, and the end of skipping. */
  pushSync(): void {
    const { copier } = this;
    this.isThrownAway = false;
    this.isUncertain = false;
    this.push(syncStep);
    this.copier = copier;
    if (copier?.copyEnds === 0) copier.earlySyncs += 1;
  }

  /** The client ended its COPY data. */
  endCopy(): void {
    if (this.copier) this.copier.copyEnds += 1;
  }

  sent(run: Piece): void {
    if (this.copier) this.copier.bytesFromClient += carriedBytes(run);
  }

  passed(run: Piece): void {
    const { first } = this.entries;
    if (!(first instanceof Execution)) return;
    first.bytesToClient += carriedBytes(run);
    first.rowsPassed += run.heads;
  }

  receive(piece: Piece): Buffer | undefined {
    switch (piece.type) {
      case backendType.errorResponse:
        return this.onError(parseErrorResponse(piece));
      case backendType.readyForQuery:
        this.onReady(parseReadyForQuery(piece));
        break;
      case backendType.commandComplete:
        this.onEnd('completed', parseCommandComplete(piece));
        break;
      case backendType.functionCallResponse:
        this.onEnd('completed');
        break;
      case backendType.emptyQueryResponse:
        this.onEnd('empty');
        break;
      case backendType.portalSuspended:
        this.onEnd('suspended');
        break;
      default:
        this.onStep(piece.type);
    }
    return undefined;
  }

  takeUnanswered(): Execution<Note>[] {
    const executions: Execution<Note>[] = [];
    for (let entry = this.shift(); entry !== undefined; entry = this.shift()) {
      if (entry instanceof Execution) executions.push(entry);
    }
    return executions;
  }

  private shift(): Entry<Note> | undefined {
    const entry = this.entries.shift();
    if (entry) this.ownBytes -= entry.ownBytes;
    return entry;
  }

  private onStep(type: number): void {
    const ended = endedSteps.get(type);
    if (ended !== undefined) return this.endStep(ended);
    if (type === backendType.rowDescription) {
      // In front of the rows of a simple query it answers nothing.
      if (this.entries.first?.kind === 'describe') this.endStep('describe');
    } else if (type === backendType.copyInResponse) {
      this.firstExecution().startCopyIn();
    }
  }

  private endStep(kind: StepKind): void {
    const { first } = this.entries;
    if (first?.kind !== kind || first.replacement !== undefined) throw unexpected();
    this.shift();
    this.spareReady = 0;
    if (first instanceof NameChange && first.succeed() && first.value instanceof Portal)
      this.events.rebound(first.value, first.name);
  }

  private onEnd(kind: 'completed' | 'empty' | 'suspended', tag?: CommandTag): void {
    const execution = this.firstExecution();
    const outcome: Outcome = {
      kind,
      index: execution.answers,
      command: tag?.command ?? '',
      rows: kind === 'suspended' ? execution.rowsPassed : tag?.rows,
      bytes: execution.bytes,
      error: undefined,
    };
    if (execution.kind === 'execute') {
      this.shift();
      this.shiftEarlySyncs(execution);
    }
    execution.startNext();
    this.events.finished(execution, outcome);
  }

  private firstExecution(): Execution<Note> {
    const { first } = this.entries;
    // A refused statement that is executed all the same must not go unnoticed.
    if (!(first instanceof Execution) || first.hasFailed || first.replacement !== undefined) {
      throw unexpected();
    }
    this.spareReady = 0;
    return first;
  }

  private onError(error: ServerError): Buffer | undefined {
    const { first } = this.entries;
    const isFatal = error.severity === 'FATAL' || error.severity === 'PANIC';
    // With nothing to answer, or a second time, it is about the connection.
    if (first === undefined || (first instanceof Execution && first.hasFailed)) return undefined;
    if (first.kind === 'sync') {
      if (!isFatal) this.events.commitFailed(error);
      return undefined;
    }
    this.endFailed(first, error);
    return isFatal ? undefined : first.replacement;
  }

  private endFailed(entry: Entry<Note>, error: ServerError): void {
    if (entry instanceof NameChange) entry.fail();
    if (entry.replacement === undefined) this.reportFailure(entry, error);
    if (entry instanceof Execution && entry.kind !== 'execute') entry.hasFailed = true;
    else this.skipToSync();
  }

  private reportFailure(entry: Entry<Note>, error: ServerError): void {
    const execution = entry instanceof Execution ? entry : failedStep<Note>(entry);
    if (execution === undefined) return;
    this.events.finished(execution, {
      kind: 'failed',
      index: execution.answers,
      command: '',
      rows: undefined,
      bytes: execution.bytes,
      error,
    });
  }

  /** From the one that failed on. */
  private skipToSync(): void {
    const failed = this.shift();
    if (failed instanceof Execution) this.endCopyOf(failed);
    while (this.entries.length > 0 && this.entries.first !== syncStep) {
      const entry = this.shift();
      if (entry instanceof NameChange) entry.skip();
      if (entry instanceof Execution) this.events.skipped(entry);
    }
    if (this.entries.length === 0) this.isThrownAway = true;
  }

  /** @throws WireError where something was sent that the server reads if it read over no Sync, and else throws away */
  private endCopyOf(failed: Execution<Note>): void {
    const isUncertain = failed.hadCopyIn && failed.earlySyncs > 0;
    this.shiftEarlySyncs(failed);
    // With another Sync all is as it was, whichever the server has read.
    this.isUncertain = isUncertain && this.entries.first !== syncStep;
    if (this.entries.length > 0) this.checkCertain();
  }

  /**
   * A server that reads COPY data reads over Syncs. Clients send one with the Execute, before they know that it is a
   * COPY, and it is never answered; unless the COPY ends before the server comes to read it. From outside the two look
   * alike until ReadyForQuery comes once or twice, so that the second is only allowed for.
   */
  private shiftEarlySyncs(execution: Execution<Note>): void {
    if (!execution.hadCopyIn) return;
    for (let left = execution.earlySyncs; left > 0; left -= 1) this.shift();
    this.spareReady += execution.earlySyncs;
  }

  private onReady(status: TransactionStatus): void {
    const { first } = this.entries;
    this.status = status;
    this.isUncertain = false;
    if (this.isAnsweredByReady(first)) {
      this.shift();
      if (first instanceof Execution) {
        if (!first.isAnswered) this.endUnknown(first);
        this.events.ended(first);
        this.shiftEarlySyncs(first);
      }
    } else {
      if (this.spareReady === 0) throw unexpected();
      this.spareReady -= 1;
      if (first === undefined) this.isThrownAway = false;
    }
    this.isReady = this.entries.length === 0;
  }

  /** Answered by nothing but ReadyForQuery: whatever that was, its text is told. */
  private endUnknown(execution: Execution<Note>): void {
    this.events.finished(execution, {
      kind: 'empty',
      index: 0,
      command: '',
      rows: undefined,
      bytes: execution.bytes,
      error: undefined,
    });
  }

  private isAnsweredByReady(entry: Entry<Note> | undefined): boolean {
    if (entry === syncStep) return true;
    if (entry?.kind !== 'query' && entry?.kind !== 'function') return false;
    return entry.isAnswered || this.spareReady === 0;
  }
}

/** What failed before it came to an Execute. */
function failedStep<Note>(
  entry: Exclude<Entry<Note>, Execution<Note>>,
): Execution<Note> | undefined {
  if (entry.kind !== 'parse' && entry.kind !== 'bind') return undefined;
  const { value } = entry;
  return value instanceof Portal
    ? new Execution<Note>(entry.kind, value.statement, value.values, undefined)
    : new Execution<Note>(entry.kind, value, undefined, undefined);
}

function unexpected(): WireError {
  return new WireError('the server answered what was not asked');
}

function carriedBytes(run: Piece): number {
  return run.length - run.heads * headBytes;
}
