/** A session from the decision to its last event: what a protocol's facet holds in its hands. */
import type { Duplex } from 'node:stream';

import type { Identity } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import type { GatehouseError } from '@gatehouse/kit/errors';
import type { Id } from '@gatehouse/kit/ids';
import type { Logger } from '@gatehouse/kit/log';
import type { SessionJournal } from '@gatehouse/kit/spool';
import type { RoleOptions, StatementRules } from '@gatehouse/policy';
import {
  sessionEndOf,
  type Action,
  type ActionDecision,
  type Announced,
  type ConnectionFacts,
  type EndReason,
  type Offer,
  type Opening,
  type ProxyProtocol,
  type Recorder,
  type Session,
  type SessionEnd,
  type SessionEvent,
  type Target,
} from '@gatehouse/protocol-api';

import type { DialedStream, Dialer } from '../dial/dialer.js';
import { proxyError } from '../errors.js';
import { decideAction } from './actions.js';
import type { Admitted } from './admission.js';
import { keepPace } from './pace.js';
import { endOfLife, patientReasons } from './session-ends.js';
import { SessionIntents } from './session-intents.js';
import { SessionRecordings } from './session-recordings.js';

/** One thing that a person does waits no longer than this for room in the spool, so that an end behind it is heard. */
const longestWaitMs = 10_000;

export interface LiveSessionInit {
  readonly id: Id<'ses'>;
  readonly opening: Opening;
  readonly admitted: Admitted;
  readonly protocol: ProxyProtocol;
  readonly clientAddress: string;
  readonly transport: Offer['transport'];
  readonly clock: Clock;
  readonly dialer: Dialer;
  readonly endsAtMs: number;
  readonly journal: SessionJournal;
  /** Age of the oldest piece of a recording that the event log does not have, ms; 0 when it has all. */
  readonly recordingLagMs: () => number;
  readonly logger: Logger;
  readonly client: Duplex;
}

/** How long a facet has, once told, to say why the session ends (D19). */
const farewellMs = 1_000;

export class LiveSession implements Session {
  readonly id: Id<'ses'>;
  readonly identity: Identity;
  readonly principal: string;
  readonly database: string | undefined;
  readonly clientAddress: string;
  readonly logger: Logger;
  readonly target: Target;
  readonly protocol: ProxyProtocol;
  readonly startedAtMs: number;
  readonly #init: LiveSessionInit;
  /** As the decision that opened it says; later ones only bring the end nearer. */
  readonly #firstEndMs: number;
  readonly #abort = new AbortController();
  readonly #cut = new AbortController();
  readonly #intents: SessionIntents;
  readonly #recordings: SessionRecordings;
  #admitted: Admitted;
  #activeAt: number;
  #timer: NodeJS.Timeout | undefined;
  #stream: DialedStream | undefined;
  #isEstablished = false;
  #isClosed = false;

  constructor(init: LiveSessionInit) {
    const { id, opening, admitted, clock } = init;
    this.#init = init;
    this.#admitted = admitted;
    this.id = id;
    this.identity = opening.identity;
    this.principal = opening.principal;
    this.database = opening.database;
    this.clientAddress = init.clientAddress;
    this.logger = init.logger;
    this.target = admitted.target;
    this.protocol = init.protocol;
    this.startedAtMs = clock.now();
    this.#firstEndMs = this.#endOf(init.endsAtMs);
    this.#activeAt = clock.monotonic();
    const { journal, logger } = init;
    const isStrict = () => this.options.audit === 'strict';
    const onUnavailable = (end: SessionEnd) => this.end(end);
    const onActivity = () => this.activity();
    this.#intents = new SessionIntents({ journal, logger, isStrict, onActivity, onUnavailable });
    this.#recordings = new SessionRecordings({
      clock,
      journal,
      logger,
      isStrict,
      onUnavailable,
      emit: (event) => this.emit(event),
      lagMs: init.recordingLagMs,
    });
    this.#watchTime();
  }

  /** Ms since the epoch: the strictest of the certificate, the decision that opened it and the one that holds now. */
  get endsAtMs(): number {
    return this.#endOf(this.#firstEndMs);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get cut(): AbortSignal {
    return this.#cut.signal;
  }

  /** The agent it was dialled through, once it has been. */
  get agentId(): string | undefined {
    return this.#stream?.agentId;
  }

  get options(): RoleOptions {
    return this.#admitted.options;
  }

  get statements(): StatementRules {
    return this.#admitted.statements;
  }

  get droppedEvents(): number {
    return this.#init.journal.dropped;
  }

  async dial(details?: Readonly<Record<string, unknown>>): Promise<Duplex> {
    const { dialer, protocol } = this.#init;
    const stream = await dialer.dial({
      sessionId: this.id,
      target: this.#admitted.target,
      principal: this.principal,
      user: this.identity.user,
      mode: protocol.mode,
      protocol: protocol.name,
      ...(details === undefined ? {} : { details }),
      // What is under way may need another connection while an end waits for it.
      signal: this.#stream === undefined ? this.#abort.signal : this.#cut.signal,
    });
    this.#stream ??= stream;
    stream.on('error', (error: Error) => this.logger.debug({ err: error }, 'target stream failed'));
    return stream;
  }

  established({ isLegacy = false }: ConnectionFacts = {}): void {
    if (this.#isEstablished) return;
    this.#isEstablished = true;
    const { protocol, transport } = this.#init;
    this.#intents.append({
      type: 'session.started',
      outcome: 'success',
      data: {
        protocol: protocol.name,
        principal: this.principal,
        ...(this.database === undefined ? {} : { database: this.database }),
        mode: protocol.mode,
        transport,
        tunnel: this.#stream?.tunnelReplica ?? '',
        roles: this.#admitted.roles,
        expires: new Date(this.endsAtMs).toISOString(),
        ...(isLegacy ? { legacy: true } : {}),
      },
    });
    this.logger.info({ protocol: protocol.name, principal: this.principal }, 'session.started');
  }

  async acknowledged(): Promise<void> {
    if (this.options.audit === 'strict') await this.#intents.acknowledged();
  }

  decide(action: Action): ActionDecision {
    return decideAction(this.options, action);
  }

  async perform<T>(
    intent: SessionEvent,
    effect: () => Promise<{ value: T; event: SessionEvent }>,
  ): Promise<T> {
    this.established();
    await this.#keepPace(longestWaitMs);
    if (this.#isOver) throw this.#overError();
    return this.#intents.perform(intent, effect);
  }

  announce(intent: SessionEvent): Announced {
    this.established();
    return this.#intents.announce(intent);
  }

  emit(event: SessionEvent): void {
    this.established();
    this.#intents.append(event);
  }

  record(channel: Parameters<Session['record']>[0]): Recorder {
    this.established();
    return this.#recordings.open(channel);
  }

  pace(): Promise<void> | undefined {
    return this.#keepPace();
  }

  #keepPace(mostMs = Infinity): Promise<void> | undefined {
    const { journal } = this.#init;
    if (journal.waitMs() === 0) return undefined;
    return keepPace(journal, { mostMs, signal: this.#cut.signal, onWait: () => this.#waits() });
  }

  /** Who is made to wait is not idle. */
  #waits(): boolean {
    this.activity();
    return !this.#isOver;
  }

  /** Nothing that is begun now may have an effect. */
  get #isOver(): boolean {
    return this.#isClosed || this.#cut.signal.aborted || this.#pendingEnd !== undefined;
  }

  activity(): void {
    this.#activeAt = this.#init.clock.monotonic();
  }

  /** Uses the options of a new decision; called when policy changed and the session may go on. */
  readmit(admitted: Admitted): void {
    this.#admitted = admitted;
    clearTimeout(this.#timer);
    if (!this.#isClosed) this.#watchTime();
  }

  /**
   * Tells the facet to say why and end; destroys both sides a second later, or, where the end can wait, after the
   * protocol's patience and that second. An urgent end shortens one that waits.
   * @param by who wants it, for the event
   */
  end(end: SessionEnd, by?: string): void {
    if (this.#isClosed || this.#cut.signal.aborted) return;
    const patienceMs = patientReasons.has(end.reason) ? (this.protocol.patienceMs ?? 0) : 0;
    if (!this.#abort.signal.aborted) {
      this.#endedBy = by;
      this.logger.info({ reason: end.reason }, 'session is ended');
      this.#abort.abort(end);
    } else if (patienceMs === 0) this.#endedBy = by;
    if (patienceMs === 0) this.#cutShort(end);
    else this.#patience ??= setTimeout(() => this.#cutShort(end), patienceMs).unref();
  }

  #cutShort(end: SessionEnd): void {
    clearTimeout(this.#patience);
    this.#cut.abort(end);
    setTimeout(() => this.#destroy(), farewellMs).unref();
  }

  /** The facet came to its end. */
  finish(reason: EndReason): void {
    const end = sessionEndOf(this);
    if (end !== undefined) return this.#endedByHost(end);
    this.established();
    this.#pendingEnd = { reason, message: '' };
  }

  /** The facet threw: before `established` the target was not reached, after it the session broke. */
  fail(error: GatehouseError): void {
    const end = sessionEndOf(this);
    if (end !== undefined) return this.#endedByHost(end);
    if (!this.#isEstablished) return this.#appendNotStarted(error);
    const { kind, code, publicMessage: message } = error;
    const { reason = kind === 'internal' ? 'protocol' : code.toLowerCase() } = error;
    this.#pendingEnd = { reason, message };
  }

  #pendingEnd: SessionEnd | undefined;
  #endedBy: string | undefined;
  #patience: NodeJS.Timeout | undefined;

  /** Ends recordings, writes the last event, frees everything. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    clearTimeout(this.#patience);
    await this.#recordings.close();
    this.#isClosed = true;
    const { journal, clock } = this.#init;
    try {
      if (this.#pendingEnd === undefined) journal.close();
      else {
        const { reason, message } = this.#pendingEnd;
        journal.end(reason, {
          durationMs: clock.now() - this.startedAtMs,
          ...(message === '' ? {} : { message }),
          ...(this.#endedBy === undefined ? {} : { by: this.#endedBy }),
        });
        this.logger.info({ reason }, 'session.ended');
      }
    } catch (thrown) {
      this.logger.error({ err: thrown }, 'the last event could not be written');
    }
    this.#stream?.destroy();
  }

  #overError(): GatehouseError {
    const { reason = 'session_over', message = 'nothing more is done' } = sessionEndOf(this) ?? {};
    return proxyError('SESSION_ENDED', { reason, details: { message } });
  }

  #endedByHost(end: SessionEnd): void {
    if (this.#isEstablished) {
      this.#pendingEnd = end;
      return;
    }
    const { reason, message } = end;
    this.#appendNotStarted(proxyError('SESSION_ENDED', { reason, details: { message } }));
  }

  /** What is written instead of a start and an end: the session never stood. */
  #appendNotStarted(error: GatehouseError): void {
    // The limit itself is auth-service's to say: `limit.reached`.
    const isDenied = error.code === 'SESSION_LIMIT';
    const type = isDenied ? 'session.denied' : 'session.connect_failed';
    const tunnel = this.#stream?.tunnelReplica;
    this.logger.info({ err: error, reason: error.reason }, type);
    this.#intents.append({
      type,
      outcome: isDenied ? 'denied' : 'failure',
      reason: error.reason ?? 'internal',
      data: {
        message: error.publicMessage,
        errorId: error.id,
        protocol: this.protocol.name,
        principal: this.principal,
        ...(tunnel === undefined ? {} : { tunnel }),
      },
    });
  }

  #destroy(): void {
    this.#stream?.destroy();
    this.#init.client.destroy();
  }

  #endOf(latestMs: number): number {
    return Math.min(latestMs, this.startedAtMs + this.options.maxSessionTtlMs);
  }

  /** One timer for the end of the session's life and for idleness. */
  #watchTime(): void {
    const { clock } = this.#init;
    const idleMs = this.options.idleTimeoutMs;
    const leftMs = this.endsAtMs - clock.now();
    if (this.#intents.areUnderWay) this.activity();
    const idleLeftMs =
      idleMs === undefined ? Infinity : idleMs - (clock.monotonic() - this.#activeAt);
    if (leftMs <= 0) return this.end(endOfLife(this.endsAtMs, this.#init.endsAtMs));
    if (idleLeftMs <= 0)
      return this.end({ reason: 'idle', message: 'the session was idle for too long' });
    this.#timer = setTimeout(() => this.#watchTime(), Math.min(leftMs, idleLeftMs, 2 ** 31 - 1));
    this.#timer.unref();
  }
}
