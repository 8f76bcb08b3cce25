/**
 * The host of every protocol (D19). One connection's way, all of it here:
 *   accept → open → find target → decide → open journal → dial → serve → close → emit.
 * A protocol greets, serves and refuses; everything that must not be forgotten happens in this file.
 */
import type { Duplex } from 'node:stream';

import { encodeIdentity, type Identity } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { toGatehouseError, type GatehouseError } from '@gatehouse/kit/errors';
import { createId, type Id } from '@gatehouse/kit/ids';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { SessionJournal, Spool } from '@gatehouse/kit/spool';
import { currentTraceId, inSpan } from '@gatehouse/kit/telemetry';
import type { TargetKind } from '@gatehouse/policy';
import {
  hostError,
  served,
  type Offer,
  type Opening,
  type ProxyProtocol,
} from '@gatehouse/protocol-api';

import type { Dialer } from '../dial/dialer.js';
import { proxyError } from '../errors.js';
import { admit, type AdmissionDeps, type Admitted, type Refused } from './admission.js';
import type { GatewayWatch } from './gateway-watch.js';
import { LiveSession } from './live-session.js';
import type { LiveSessions } from './live-sessions.js';
import type { Refusal, RefusalLog } from './refusal-log.js';

/** A connection that arrived, with what its way in already proved. */
export interface Arriving {
  readonly protocol: ProxyProtocol;
  readonly client: Duplex;
  readonly clientAddress: string;
  readonly transport: Offer['transport'];
  /** From the client certificate of the TLS layer around it. */
  readonly identity?: Identity;
  /** The person in the client certificate, where the protocol greets before it says no. @throws what `Offer.identify` throws */
  readonly identify?: () => Identity;
  /** Ends TLS on a connection that began in clear. */
  readonly startTls?: () => Promise<SecuredClient>;
  readonly route?: { readonly target: string; readonly login?: string };
  /** Called once the person is known and the target may be opened, before the protocol speaks. */
  readonly onAdmitted?: (sessionId: string) => void;
  /** Says no before the protocol has spoken; without it the protocol says it. */
  readonly onRefused?: (error: GatehouseError) => void;
  /** Who it is has been proven. */
  readonly onProven?: () => void;
}

/** A connection after its TLS handshake, and who its certificate says it is. */
export interface SecuredClient {
  readonly client: Duplex;
  readonly identify: () => Identity;
}

export interface HostDeps extends AdmissionDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly spool: Spool;
  readonly dialer: Dialer;
  readonly live: LiveSessions;
  readonly refusals: RefusalLog;
  readonly gateways: GatewayWatch;
  /** Kinds of targets that a protocol serves. */
  kindsOf(protocol: string): readonly TargetKind[];
  /** When the certificate that gave this identity ends, ms since the epoch. */
  identityEndsAt(identity: Identity): number;
  readonly openTimeoutMs: number;
}

export interface Host {
  /** Takes ownership of `arriving.client`. Never throws. */
  accept(arriving: Arriving): void;
  /** An event about a connection that never got as far as a session. */
  connectionRefused(refusal: Refusal): void;
}

export function createHost(deps: HostDeps): Host {
  const host: Host = {
    accept: (arriving) =>
      runInBackground(
        () => serveConnection(deps, host, arriving),
        deps.logger,
        'connection failed',
      ),
    connectionRefused: (refusal) => deps.refusals.write(refusal),
  };
  return host;
}

async function serveConnection(deps: HostDeps, host: Host, arriving: Arriving): Promise<void> {
  const connection = new Connection(deps, host, arriving);
  try {
    await connection.run();
  } finally {
    closeGently(connection.client);
  }
}

/** Lets what was written go out, then closes. */
function closeGently(client: Duplex): void {
  if (client.destroyed) return;
  client.end();
  setTimeout(() => client.destroy(), 1_000).unref();
}

class Connection {
  readonly #deps: HostDeps;
  readonly #host: Host;
  readonly #arriving: Arriving;
  readonly #sessionId: Id<'ses'> = createId('ses');
  /** Where the protocol is spoken: inside TLS, once that has begun. */
  client: Duplex;
  #identify: () => Identity;
  #opening: Opening | undefined;

  constructor(deps: HostDeps, host: Host, arriving: Arriving) {
    this.#deps = deps;
    this.#host = host;
    this.#arriving = arriving;
    this.client = takeOver(arriving.client);
    const { identity, identify } = arriving;
    this.#identify = identity === undefined ? (identify ?? refuseUnknown) : () => identity;
  }

  async run(): Promise<void> {
    const { identity, route, onAdmitted } = this.#arriving;
    if (identity !== undefined && route !== undefined) {
      const asked = { identity, target: route.target, principal: route.login ?? '' };
      const refused = this.#refuseEarly(asked, route.login !== undefined);
      if (refused !== undefined) return this.#deny(refused, asked);
    }
    onAdmitted?.(this.#sessionId);
    const opening = await this.#open();
    if (opening === undefined) return;
    this.#opening = opening;
    this.#arriving.onProven?.();
    const admitted = this.#admit(opening);
    if (!admitted.allowed) return this.#deny(admitted, opening);
    const span = `proxy.session ${this.#arriving.protocol.name}`;
    const attributes = { 'session.id': this.#sessionId, target: admitted.target.name };
    await inSpan(span, { attributes }, async () => {
      const journal = this.#openJournal(opening, admitted);
      if (journal === undefined) await this.#deny(withoutAudit(admitted), opening);
      else await this.#serve(opening, admitted, journal);
    });
  }

  /** Where the login is not known yet, what counts is whether the target may be seen at all. */
  #refuseEarly(asked: Asked, isLoginKnown: boolean): Refused | undefined {
    const early = this.#admit(asked);
    if (early.allowed) return undefined;
    return !isLoginKnown && dependsOnLogin(early) ? undefined : early;
  }

  /** The protocol's greeting; undefined where it served the connection by itself or refused it. */
  async #open(): Promise<Opening | undefined> {
    const { protocol, clientAddress, transport, identity, route } = this.#arriving;
    const { client } = this;
    const timeout = AbortSignal.timeout(this.#deps.openTimeoutMs);
    const gone = new AbortController();
    const onClose = () => gone.abort(new Error('the client left'));
    client.once('close', onClose);
    const offer: Offer = {
      sessionId: this.#sessionId,
      clientAddress,
      transport,
      signal: AbortSignal.any([timeout, gone.signal]),
      ...(identity === undefined ? {} : { identity }),
      ...(route === undefined ? {} : { route }),
      identify: () => this.#identify(),
      startTls: async () => this.#startTls(),
      serving: (by) => {
        this.#arriving.onProven?.();
        this.#deps.gateways.add(this.client, by);
      },
      report: (event, by) => {
        this.#deps.spool.emit({
          ...event,
          sessionId: this.#sessionId,
          actor: actorOf(by, clientAddress),
        });
      },
      accept: (nested, inside) => {
        this.#arriving.onProven?.();
        this.#host.accept({
          protocol,
          client: nested,
          clientAddress,
          transport: 'nested',
          identity: inside.identity,
          route: { target: inside.target },
        });
      },
    };
    try {
      const opening = await protocol.open(client, offer);
      if (opening === served) return undefined;
      if (identity !== undefined && encodeIdentity(identity) !== encodeIdentity(opening.identity)) {
        this.#opening = opening;
        throw proxyError('IDENTITIES_DIFFER', { reason: 'identity' });
      }
      return opening;
    } catch (thrown) {
      await this.#refuseConnection(toGatehouseError(thrown));
      return undefined;
    } finally {
      client.off('close', onClose);
    }
  }

  /** Of whoever is refused, for the event. */
  #findIdentity(): Identity | undefined {
    try {
      return this.#identify();
    } catch {
      return undefined;
    }
  }

  async #startTls(): Promise<Duplex> {
    const { startTls } = this.#arriving;
    if (startTls === undefined)
      throw hostError('PROTOCOL_ERROR', { reason: 'protocol', details: { why: 'TLS in TLS' } });
    const { client, identify } = await startTls();
    this.client = takeOver(client);
    this.#identify = identify;
    return client;
  }

  #admit(request: Asked): Admitted | Refused {
    if (this.#deps.policy.hasUnreadableLock()) {
      const reason = 'lock_unreadable';
      return { allowed: false, reason, error: proxyError('LOCK_UNREADABLE', { reason }) };
    }
    return admit(this.#deps, {
      ...request,
      kinds: this.#deps.kindsOf(this.#arriving.protocol.name),
    });
  }

  async #refuseConnection(error: GatehouseError): Promise<void> {
    const { protocol, clientAddress } = this.#arriving;
    // A client that never tried to log in is a probe, not a failure (SSH-19).
    if (error.reason === 'never_tried') return;
    const identity = this.#opening?.identity ?? this.#findIdentity();
    this.#host.connectionRefused({
      clientAddress,
      reason: error.reason ?? 'protocol',
      error,
      protocol: protocol.name,
      ...(identity === undefined ? {} : { identity }),
    });
    await protocol.refuse(this.client, this.#opening, error).catch(() => undefined);
  }

  async #deny(refused: Refused, asked: Asked): Promise<void> {
    const { protocol, clientAddress, onRefused } = this.#arriving;
    const { error, reason, role, target } = refused;
    const kind = this.#deps.kindsOf(protocol.name)[0] ?? 'node';
    this.#deps.logger.info(
      {
        err: error,
        reason,
        sessionId: this.#sessionId,
        userId: asked.identity.user,
        target: asked.target,
      },
      'session denied',
    );
    this.#deps.spool.emit({
      type: 'session.denied',
      outcome: 'denied',
      reason,
      sessionId: this.#sessionId,
      actor: actorOf(asked.identity, clientAddress),
      target: {
        kind,
        name: asked.target,
        ...(target === undefined ? {} : { labels: target.labels, agent: target.agent }),
      },
      data: {
        message: error.publicMessage,
        errorId: error.id,
        protocol: protocol.name,
        principal: asked.principal,
        ...(asked.database === undefined ? {} : { database: asked.database }),
        ...(role === undefined ? {} : { role }),
      },
    });
    if (this.#opening === undefined && onRefused !== undefined) onRefused(error);
    else await protocol.refuse(this.client, this.#opening, error).catch(() => undefined);
  }

  /** Undefined where the audit takes nothing now and this session must not be without it. */
  #openJournal(opening: Opening, admitted: Admitted): SessionJournal | undefined {
    const { kind, name, labels, agent } = admitted.target;
    try {
      return this.#deps.spool.session({
        sessionId: this.#sessionId,
        actor: actorOf(opening.identity, this.#arriving.clientAddress),
        target: { kind, name, labels, agent },
        protocol: this.#arriving.protocol.name,
        traceId: currentTraceId(),
        strict: admitted.options.audit === 'strict',
      });
    } catch (thrown) {
      this.#deps.logger.error({ err: thrown, sessionId: this.#sessionId }, 'no journal');
      return undefined;
    }
  }

  async #serve(opening: Opening, admitted: Admitted, journal: SessionJournal): Promise<void> {
    const { protocol, clientAddress, transport } = this.#arriving;
    const { client } = this;
    const { clock, logger, dialer, live, spool } = this.#deps;
    const session = new LiveSession({
      id: this.#sessionId,
      opening,
      admitted,
      protocol,
      clientAddress,
      transport,
      clock,
      dialer,
      endsAtMs: this.#deps.identityEndsAt(opening.identity),
      journal,
      recordingLagMs: () => spool.state().recordings.oldestMs,
      logger: logger.child({
        sessionId: this.#sessionId,
        userId: opening.identity.user,
        target: admitted.target.name,
      }),
      client,
    });
    try {
      await live.add(session);
      const reason = await protocol.serve(session, opening);
      session.finish(reason);
    } catch (thrown) {
      const error = toGatehouseError(thrown);
      session.fail(error);
      await protocol.refuse(client, opening, error).catch(() => undefined);
    } finally {
      live.remove(session);
      await session.close();
    }
  }
}

/** Who asks for what. */
interface Asked {
  readonly identity: Identity;
  readonly target: string;
  readonly principal: string;
  readonly database?: string;
}

/** Does it hang on what only the protocol will say: the login, or the name of a database? */
function dependsOnLogin({ error, reason, target }: Refused): boolean {
  return (
    error.code === 'LOGIN_NOT_ALLOWED' || (reason === 'denied_by' && target?.kind === 'database')
  );
}

function takeOver(client: Duplex): Duplex {
  return client.on('error', () => client.destroy());
}

function refuseUnknown(): never {
  throw hostError('CERTIFICATE_MISSING', { reason: 'no_certificate' });
}

function withoutAudit({ target }: Admitted): Refused {
  const reason = 'audit_unavailable';
  return { allowed: false, reason, target, error: hostError('AUDIT_UNAVAILABLE', { reason }) };
}

function actorOf(identity: Identity, address: string) {
  return {
    kind: 'user',
    name: identity.user,
    roles: [...identity.roles],
    loginId: identity.loginId,
    address,
  };
}
