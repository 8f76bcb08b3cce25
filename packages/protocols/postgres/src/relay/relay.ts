/** Carries a session between a client and a database, to its end. */
import type { Duplex } from 'node:stream';

import { GatehouseError } from '@gatehouse/kit/errors';
import {
  sessionEndOf,
  type EndReason,
  type Session,
  type SessionEnd,
} from '@gatehouse/protocol-api';

import { postgresError, sqlstates } from '../errors.js';
import type { StatementParser } from '../policy/parse.js';
import { PolicyGate } from '../policy/policy-gate.js';
import { parseBackendKeyData, parseParameterStatus, type BackendKey } from '../wire/backend.js';
import { encodeBackendKeyData, encodeErrorResponse, encodeFlush } from '../wire/encode.js';
import { MessageReader, type Piece } from '../wire/message-reader.js';
import { backendLimits, backendType, createTypeTable, headBytes } from '../wire/message-types.js';
import { WireError } from '../wire/wire-error.js';
import { Chunks } from './chunks.js';
import { ClientSide } from './client-side.js';
import { Output } from './output.js';
import { Pipeline, pipelineBackendTypes } from './pipeline.js';
import { StatementLog, type Note } from './statement-log.js';

/** How long a database may take to close once the client has left, ms. */
const closingMs = 2_000;
const maxParameterBytes = 16 * 1024;

export interface RelayParts {
  readonly session: Session;
  readonly client: Duplex;
  readonly target: Duplex;
  readonly database: string;
  readonly parser: StatementParser;
  /** The key that the client is given for the database's own. */
  readonly exchangeKey: (key: BackendKey) => BackendKey;
}

const nothing = Buffer.alloc(0);

export class Relay {
  readonly #parts: RelayParts;
  readonly #log: StatementLog;
  readonly #pipeline: Pipeline<Note>;
  readonly #gate: PolicyGate;
  readonly #front: ClientSide;
  readonly #toClient: Output;
  readonly #toTarget: Output;
  readonly #back = new MessageReader({
    limits: backendLimits,
    wholeBytes: createTypeTable([
      ...pipelineBackendTypes,
      [backendType.backendKeyData, headBytes + 260],
      [backendType.parameterStatus, maxParameterBytes],
    ]),
  });
  readonly #over = Promise.withResolvers<EndReason>();
  /** Of the client, waiting for what came before. */
  readonly #sent = new Chunks();
  /** Of the server. */
  readonly #answered = new Chunks();
  /** A statement is judged, or waits for the event log. */
  #isHeld = false;
  /** The audit has enough to do with this person. */
  #isPaced = false;
  #isOver = false;
  #isClientGone = false;
  #isTargetGone = false;
  #isSwapping = false;
  #hasKey = false;
  /** The server has said how it reads, and waits: before that nothing of the client is judged. */
  #isReady = false;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    const { session, client, target, database, parser } = parts;
    this.#log = new StatementLog(session, database);
    this.#gate = new PolicyGate(session, parser);
    this.#pipeline = new Pipeline<Note>({
      finished: (execution, outcome) => this.#log.finished(execution, outcome),
      ended: (execution) => this.#log.ended(execution),
      skipped: (execution) => this.#log.skipped(execution),
      rebound: ({ statement }, portal) => this.#log.prepared(statement, { portal }),
      commitFailed: (error) => this.#log.commitFailed(error),
    });
    this.#toClient = new Output(client);
    this.#toTarget = new Output(target);
    this.#front = new ClientSide({
      session,
      pipeline: this.#pipeline,
      gate: this.#gate,
      log: this.#log,
      output: this.#toTarget,
      mayGoOn: () => this.#mayGoOn(),
    });
  }

  /** Resolves when both sides are done with; the host closes them. @throws POSTGRES_PROTOCOL */
  async run(): Promise<EndReason> {
    const { session, client, target } = this.#parts;
    this.#log.open();
    client.on('data', (chunk: Buffer) => this.#guard(() => this.#fromClient(chunk)));
    client.on('drain', () => this.#resumeTarget());
    client.once('end', () => this.#clientGone());
    client.once('close', () => this.#clientGone());
    target.on('data', (chunk: Buffer) => this.#guard(() => this.#fromTarget(chunk)));
    target.on('drain', () => this.#resumeClient());
    target.once('end', () => this.#targetGone(undefined));
    target.once('error', (error: Error) => this.#targetGone(error));
    target.once('close', () => this.#targetGone(undefined));
    session.signal.addEventListener('abort', () => this.#endWhenIdle(), { once: true });
    session.cut.addEventListener('abort', () => this.#farewell(), { once: true });
    if (session.signal.aborted) this.#endWhenIdle();
    client.pause();
    target.resume();
    // What closed while the target was dialled says so no more.
    if (target.destroyed) this.#targetGone(undefined);
    if (client.destroyed) this.#clientGone();
    try {
      return await this.#over.promise;
    } finally {
      this.#isOver = true;
    }
  }

  #guard(step: () => void): void {
    if (this.#isOver) return;
    try {
      step();
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  /**
   * What either side says in a few bytes may be events of many: asked before each message. Once one has left, the server is
   * heard out.
   */
  #mayGoOn(): boolean {
    if (this.#isClientGone || this.#isTargetGone) return true;
    const wait = this.#isPaced ? undefined : this.#parts.session.pace();
    if (wait === undefined) return !this.#isPaced;
    this.#isPaced = true;
    const goOn = () => {
      this.#isPaced = false;
      this.#guard(() => {
        this.#takeAnswers();
        this.#resumeTarget();
        if (!this.#isHeld && !this.#front.isFull) this.#goOn();
      });
    };
    wait.then(goOn, goOn);
    return false;
  }

  #pauseTarget(): void {
    const { client, target } = this.#parts;
    if (client.writableNeedDrain || this.#answered.isFull) target.pause();
  }

  #resumeTarget(): void {
    const { client, target } = this.#parts;
    if (!client.writableNeedDrain && !this.#answered.isFull) target.resume();
  }

  #fail(thrown: unknown): void {
    const why = thrown instanceof WireError ? thrown.message : undefined;
    this.#close('protocol');
    this.#over.reject(
      why === undefined
        ? thrown
        : postgresError('POSTGRES_PROTOCOL', { reason: 'protocol', details: { why } }),
    );
  }

  #fromClient(chunk: Buffer): void {
    if (this.#isClientGone) return;
    this.#sent.push(chunk);
    if (this.#front.isDrained) this.#takeSent();
    else if (this.#sent.isFull) this.#parts.client.pause();
  }

  /** Chunk by chunk, until something has to wait. */
  #takeSent(): void {
    while (this.#front.isDrained) {
      const chunk = this.#sent.shift();
      if (chunk === undefined) break;
      this.#front.push(chunk);
      this.#advance();
    }
  }

  /** Passes on until something has to wait. */
  #advance(): void {
    const { client, target } = this.#parts;
    const wait = this.#front.advance();
    if (this.#front.hasLeft) this.#clientGone();
    if (wait !== undefined) {
      this.#isHeld = true;
      client.pause();
      wait.then(
        () => {
          this.#isHeld = false;
          this.#guard(() => this.#goOn());
        },
        (thrown: unknown) => this.#fail(thrown),
      );
      return;
    }
    // The server may hold small answers back until it is asked for them.
    if (this.#front.isFull) this.#toTarget.write(encodeFlush());
    if (this.#front.isFull || target.writableNeedDrain) client.pause();
  }

  #goOn(): void {
    if (this.#isClientGone || this.#isTargetGone) return;
    this.#advance();
    this.#takeSent();
    this.#resumeClient();
  }

  #resumeClient(): void {
    const { client, target } = this.#parts;
    const isBlocked =
      this.#isHeld || this.#sent.isFull || this.#front.isFull || target.writableNeedDrain;
    if (this.#isReady && !isBlocked) client.resume();
  }

  #fromTarget(chunk: Buffer): void {
    this.#answered.push(chunk);
    this.#takeAnswers();
  }

  #takeAnswers(): void {
    const wasFull = this.#front.isFull;
    for (let piece = this.#nextAnswer(); piece !== undefined; piece = this.#nextAnswer())
      this.#answer(piece);
    this.#toClient.flush();
    this.#pauseTarget();
    this.#front.answered();
    if (!this.#isReady && this.#pipeline.isIdle) {
      this.#isReady = true;
      this.#resumeClient();
    }
    if (wasFull && !this.#front.isFull && !this.#isHeld) this.#goOn();
    if (this.#parts.session.signal.aborted) this.#endWhenIdle();
  }

  #nextAnswer(): Piece | undefined {
    while (this.#back.hasMore || this.#answered.length > 0) {
      if (!this.#mayGoOn()) return undefined;
      if (!this.#back.hasMore) this.#back.push(this.#answered.shift() ?? nothing);
      const piece = this.#back.next();
      if (piece !== undefined) return piece;
    }
    return undefined;
  }

  #answer(piece: Piece): void {
    const { exchangeKey } = this.#parts;
    if (piece.kind === 'run') this.#pipeline.passed(piece);
    else if (piece.kind !== 'more') {
      if (piece.type === backendType.backendKeyData) {
        if (this.#hasKey) throw new WireError('the server gives a second cancel key');
        this.#hasKey = true;
        this.#toClient.write(encodeBackendKeyData(exchangeKey(parseBackendKeyData(piece))));
        return;
      }
      if (piece.type === backendType.parameterStatus && piece.kind === 'message')
        this.#noteSetting(piece);
      const swapped = this.#pipeline.receive(piece);
      if (swapped !== undefined) return this.#swap(piece, swapped);
    } else if (this.#isSwapping) {
      this.#isSwapping = !piece.isLast;
      return;
    }
    this.#toClient.forward(piece);
  }

  #swap(piece: Piece, swapped: Buffer): void {
    this.#isSwapping = !piece.isLast;
    this.#toClient.write(swapped);
  }

  #noteSetting(piece: Piece): void {
    const { name, value } = parseParameterStatus(piece);
    this.#gate.noteSetting(name, value);
  }

  /** At once where nothing is under way; else with the answer to what is, or when there is no more patience. */
  #endWhenIdle(): void {
    if (this.#pipeline.isIdle) this.#farewell();
  }

  #farewell(): void {
    const end = sessionEndOf(this.#parts.session);
    if (end === undefined) return;
    this.#sayLast(end);
    this.#finish(end.reason);
  }

  /** FATAL in the middle of another message would be read as a part of it. */
  #sayLast({ message }: Pick<SessionEnd, 'message'>, sqlstate: string = sqlstates.ended): void {
    const { client } = this.#parts;
    if (this.#isOver || this.#isClientGone || !client.writable) return;
    this.#toClient.flush();
    if (this.#back.isAtBoundary)
      client.write(encodeErrorResponse({ severity: 'FATAL', sqlstate, message }));
  }

  /** It said goodbye, or its connection ended: the database ends what it does by itself, and has a moment for it. */
  #clientGone(): void {
    const { client, target } = this.#parts;
    if (this.#isClientGone || this.#isOver) return;
    this.#isClientGone = true;
    const reason = this.#front.hasLeft ? 'client_left' : 'client_gone';
    if (target.writable) target.end();
    this.#guard(() => this.#takeAnswers());
    target.resume();
    client.resume();
    const timer = setTimeout(() => this.#finish(reason), closingMs);
    target.once('close', () => this.#finish(reason));
    target.once('end', () => this.#finish(reason));
    this.#over.promise.finally(() => clearTimeout(timer)).catch(() => undefined);
  }

  #targetGone(error: Error | undefined): void {
    if (this.#isClientGone || this.#isTargetGone || this.#isOver) return;
    this.#isTargetGone = true;
    this.#guard(() => this.#takeAnswers());
    const reason = error instanceof GatehouseError ? (error.reason ?? 'agent_lost') : undefined;
    const { target } = this.#parts.session;
    // A database that ends a session by itself says so by itself.
    if (reason !== undefined)
      this.#sayLast({ message: `the connection to ${target.name} was lost` }, '08006');
    this.#finish(reason ?? 'target_closed');
  }

  #finish(reason: EndReason): void {
    this.#close(reason);
    this.#over.resolve(reason);
  }

  #close(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#front.end(reason);
    for (const execution of this.#pipeline.takeUnanswered()) this.#log.lost(execution, reason);
    this.#parts.target.destroy();
  }
}
