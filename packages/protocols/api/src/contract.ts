/**
 * The contract between the host and a protocol folder (D19 of the architecture).
 *
 * The host owns the phases that every connection goes through, in one file:
 *   accept → open → find target → decide → open recorder → dial → serve → close → emit.
 * A protocol fills in three: `open` greets the client and learns who it is and where it wants to go, `serve` carries
 * the session, `refuse` says no in the protocol's own words. It never decides, never dials by itself and never writes
 * audit events past the `Session` it was given.
 */
import type { Duplex } from 'node:stream';

import type { Identity, SshUserProof } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import type { GatehouseError } from '@gatehouse/kit/errors';
import type { Id } from '@gatehouse/kit/ids';
import type { Logger } from '@gatehouse/kit/log';
import type { RoleOptions, StatementRules } from '@gatehouse/policy';
import type { z } from 'zod';

/** Kinds of documents that stand for something to connect to. */
export type TargetKind = 'node' | 'kube_cluster' | 'database' | 'app' | 'desktop';

/** Something to connect to, as the inventory knows it. */
export interface Target<Spec = unknown> {
  readonly kind: TargetKind;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Name of the protocol folder that serves it. */
  readonly protocol: string;
  readonly spec: Spec;
  /** The agent group that owns the name (D32). */
  readonly agent: string;
}

/** Why a session ended, as `session.ended.reason` says it. Protocols may add words of their own. */
export type EndReason =
  | 'client_left'
  | 'target_closed'
  | 'agent_lost'
  | 'tunnel_lost'
  | 'proxy_lost'
  | 'lock'
  | 'policy'
  | 'idle'
  | 'ttl'
  | 'logout'
  | 'ended_by'
  | 'protocol'
  | 'recorder_failed'
  | 'audit_unavailable'
  | (string & {});

/** What `session.started` says of the way to the target. */
export interface ConnectionFacts {
  /** The algorithms are such that only the target's document lets them through. Default false. */
  readonly isLegacy?: boolean;
}

/** The value of `session.signal.reason`: why the host ends the session and what to tell the person. */
export interface SessionEnd {
  readonly reason: EndReason;
  /** One line in the person's words, for example `locked: incident 7`. */
  readonly message: string;
}

/** What is known of a connection before its protocol has spoken. */
export interface Offer {
  readonly sessionId: Id<'ses'>;
  /** `ip:port` of the client. */
  readonly clientAddress: string;
  readonly transport: 'clear' | 'tls' | 'nested';
  /** From the client certificate of the outer TLS layer, where there was one. A facet that learns an identity of its
   *  own must find the same one, or refuse. */
  readonly identity?: Identity;
  /**
   * The person in the client certificate, for protocols that greet before they are told no.
   * @throws CERTIFICATE_MISSING, CERTIFICATE_REFUSED with its reason
   */
  identify(): Identity;
  /**
   * Ends TLS on a connection that began in clear, once the client and the facet have agreed on it; the facet goes on with
   * what it returns. A client certificate is asked for. @throws PROTOCOL_ERROR where it does not come about
   */
  startTls(): Promise<Duplex>;
  /** From the preface, the SNI or a jump host: where the client wants to go. `login` may be left to the protocol. */
  readonly route?: { readonly target: string; readonly login?: string };
  /** Aborts at the host's deadline for `open`, and when the client is gone. */
  readonly signal: AbortSignal;
  /**
   * Hands a connection that arrived inside this one (a jump host's channel) to the host, which treats it as any other:
   * it opens, decides, records and audits it. Takes ownership of `client`.
   */
  accept(client: Duplex, nested: { readonly identity: Identity; readonly target: string }): void;
  /**
   * The connection has proven who is behind it and will have no session of its own (a jump host): the host ends it with
   * that person's certificate, login or lock.
   */
  serving(identity: Identity): void;
  /** Writes an event about a connection that has no session of its own, such as a request that a jump host refused. */
  report(event: SessionEvent, identity: Identity): void;
}

/** What `open` learned. `State` is the facet's own and comes back in `serve` and `refuse`. */
export interface Opening<State = unknown> {
  readonly identity: Identity;
  readonly target: string;
  readonly principal: string;
  /** Of a target with several databases: the one that is asked for. */
  readonly database?: string;
  readonly state: State;
}

/** `open` returns this when the connection was served without a session: a jump host, a probe, a request to cancel. */
export const served: unique symbol = Symbol('served');

/** One asked-for action inside a session, for example a port forward or a file transfer. */
export interface Action {
  /** The words of the protocol's events, for example `ssh.port_forward`. */
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A decision inside a session: allowed, or why not in the person's words. */
export type ActionDecision =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly message: string };

/** An audit event of a protocol, before the host adds id, time, session, sequence, actor and target. */
export interface SessionEvent {
  readonly type: string;
  readonly outcome: 'success' | 'failure' | 'denied';
  readonly reason?: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Records one channel of a session (D26). All calls are cheap and never throw; the host reports what fails. */
export interface Recorder {
  readonly recordingId: Id<'rec'>;
  /** The bytes are copied at once; the caller may reuse them. */
  output(bytes: Uint8Array): void;
  input(bytes: Uint8Array): void;
  resize(columns: number, rows: number): void;
  /** True while more than 4 MiB wait for the spool: the facet pauses the target's side until `drained()` resolves. */
  readonly overloaded: boolean;
  drained(): Promise<void>;
  /** Ends the recording; the host emits `recording.completed`. */
  end(): Promise<void>;
}

/** An intent that was written (D23), and what it waits for. */
export interface Announced {
  /** Strict: settles when the event log has the intent; nothing of the effect may happen before. Undefined: go on at once. */
  readonly acknowledged: Promise<void> | undefined;
  /** Writes the event that says how it ended; until then the session is not idle. Either this or `abandon`, once. */
  finish(event: SessionEvent): void;
  /** Nothing came of it: no event, unless the intent was one, which is then answered by a failure with `reason`. */
  abandon(reason: string): void;
}

export interface Session<Spec = unknown> {
  readonly id: Id<'ses'>;
  readonly identity: Identity;
  readonly target: Target<Spec>;
  readonly principal: string;
  readonly options: RoleOptions;
  /** What holds for statements just now; another object after each change. */
  readonly statements: StatementRules;
  readonly clientAddress: string;
  readonly logger: Logger;
  /**
   * Aborts when the host ends the session; `reason` is a {@link SessionEnd}. The facet finishes what is under way, within
   * the protocol's `patienceMs`, and says why.
   */
  readonly signal: AbortSignal;
  /**
   * Aborts when the facet has 1 s left to say why: at once after a lock, else when patience is over. Its `reason` is the
   * end that cuts, which may be another than the one that `signal` began with.
   */
  readonly cut: AbortSignal;
  /**
   * Connects to the target through its agent. The stream begins where the agent's facet left off (after its login). The
   * first one is the session's own, and ends with it; others are the facet's to end.
   * @param details for the agent's facet; JSON of at most 12 KiB, signed with the grant
   * @throws TARGET_OFFLINE, TARGET_UNREACHABLE, TARGET_LOGIN_FAILED, DIAL_REFUSED_BY_AGENT
   */
  dial(details?: Readonly<Record<string, unknown>>): Promise<Duplex>;
  /**
   * The target is reached and has let the person in: the host writes `session.started`. What `serve` throws before is
   * `session.connect_failed` with the error's reason, and so is an end by the host. Events and recordings call it by themselves.
   */
  established(facts?: ConnectionFacts): void;
  /**
   * For a facet whose only effect is the connection itself, behind `established`: strict, waits until the event log has
   * `session.started`, and nothing may reach the target before; else resolves at once.
   * @throws AUDIT_UNAVAILABLE after 10 s
   */
  acknowledged(): Promise<void>;
  /** May this session do `action`? Answers from the role options of the decision that opened it. */
  decide(action: Action): ActionDecision;
  /**
   * Audit before effect (D23): writes `intent` to the spool (strict: waits for the broker's acknowledgement), runs
   * `effect`, then writes the event that it returns.
   * @throws AUDIT_UNAVAILABLE when strict and not acknowledged within 10 s; `effect` has not run then
   */
  perform<T>(
    intent: SessionEvent,
    effect: () => Promise<{ value: T; event: SessionEvent }>,
  ): Promise<T>;
  /**
   * The same for effects that a facet does not wait for in one place, such as statements in a pipeline: writes `intent` and
   * leaves the rest to the facet. Where the audit is not strict the intent stays in the spool and is no event of its own.
   * @throws AUDIT_UNAVAILABLE (by `acknowledged`) when strict and not acknowledged within 10 s; its result is written then
   */
  announce(intent: SessionEvent): Announced;
  /** Writes an event that has no effect of its own to wait for. */
  emit(event: SessionEvent): void;
  /** Events of this session that the audit had no room for: what they said has to be said again. */
  readonly droppedEvents: number;
  /** Opens a recording of one channel. `columns` and `rows` are its first size. */
  record(channel: {
    readonly columns: number;
    readonly rows: number;
    readonly command?: string;
    /** It shows what events say as well: a strict session does not end because the event log has not got it yet. */
    readonly isTranscript?: boolean;
  }): Recorder;
  /**
   * Undefined: go on. Else the audit fills up with what this person does, and a facet whose events cost the client or the target
   * next to nothing causes no more of them until it resolves; the end of the session resolves it, too. Cheap, so that it can be
   * asked before each event; `perform` asks by itself.
   */
  pace(): Promise<void> | undefined;
  /** Something happened that a person or the target did; resets the idle timer. Cheap. */
  activity(): void;
}

export interface ProxyProtocol<Spec = unknown, State = unknown> {
  readonly name: string;
  /** `request` protocols decide per request (HTTP, Kubernetes) through `session.decide`. */
  readonly scope: 'connection' | 'request';
  /** Relayed protocols carry bytes that the proxy does not open (`session.started.data.mode`). */
  readonly mode: 'inspected' | 'relayed';
  /** The ALPN name under which clients ask the one port for it (D18); several protocols may share one. */
  readonly alpn: string;
  /** An ALPN name of the protocol itself, without a preface; the client certificate or the protocol says where to. */
  readonly ownAlpn?: string;
  /** What a client sends first in clear, where the protocol needs no TLS around it: `SSH-2.0-`. */
  readonly clearGreeting?: string;
  /** How long an end that is not urgent (the certificate's, a change of policy) waits for what is under way. Default 0. */
  readonly patienceMs?: number;
  /**
   * Greets and authenticates; who, which target, as whom. Takes no longer than `offer.signal` allows. `client` half-closes:
   * its `end` says that the client sends no more, its `close` comes only when both directions are done.
   */
  open(client: Duplex, offer: Offer): Promise<Opening<State> | typeof served>;
  /** Carries the session to its end. The host destroys both sockets after it. */
  serve(session: Session<Spec>, opening: Opening<State>): Promise<EndReason>;
  /** Says no in the protocol's own words, within 1 s. `opening` is undefined when `open` itself failed. */
  refuse(client: Duplex, opening: Opening<State> | undefined, error: GatehouseError): Promise<void>;
}

/** What the host lends to proxy facets. */
export interface ProxyServices {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly clusterName: string;
  /** `srv_…` of this start. */
  readonly replicaId: string;
  /** Names under which the port itself is reached; its SSH host certificate lists them. */
  readonly publicNames: readonly string[];
  readonly credentials: ProxyCredentials;
  readonly replicas: ProxyReplicas;
}

/** The other replicas of this proxy. What is said may be lost, and whoever says it hears it, too. */
export interface ProxyReplicas {
  /** @param content at most 512 bytes */
  tell(topic: string, content: Buffer): void;
  /** Called with what is told of a topic. */
  onTold(topic: string, listener: (content: Buffer) => void): void;
}

/** Keys and certificates that a proxy holds or may ask for. Private keys are PEM (PKCS #8); certificates are wire blobs. */
export interface ProxyCredentials {
  /**
   * Verifies an SSH user certificate: CA, type, times, identity payload, principals, source address, locks.
   * @throws the refusals of CRT-01, CRT-02 and CRT-10 with their `reason`
   */
  verifySshUserCertificate(
    blob: Buffer,
    clientAddress: string,
  ): Promise<{ identity: Identity; validBeforeMs: number }>;
  /** The host key and its certificate for one name: the port's own (`undefined`) or a target's. At most 24 h old. */
  hostCertificate(name: string | undefined): Promise<HostCertificate>;
  /** A certificate for logging in upstream as `login`, issued on the person's own proof (D21). */
  targetCertificate(
    proof: SshUserProof,
    login: string,
    clientAddress?: string,
  ): Promise<TargetCertificate>;
  /** `host_ssh` public keys, as wire blobs, that targets' host certificates may be signed by. */
  hostAuthorities(): readonly Buffer[];
}

export interface HostCertificate {
  readonly privateKeyPem: string;
  readonly certificate: Buffer;
}

/** A key and a certificate for TLS, PEM (PKCS #8). */
export interface ClientCertificate {
  readonly privateKeyPem: string;
  readonly certificatePem: string;
}

export interface TargetCertificate {
  readonly privateKeyPem: string;
  readonly certificate: Buffer;
  readonly validBeforeMs: number;
}

/** A dial as the agent sees it: the verified grant (D20). */
export interface AgentDial<Spec = unknown> {
  readonly sessionId: string;
  readonly target: string;
  readonly spec: Spec;
  readonly principal: string;
  readonly user: string;
  /** From the proxy's facet, as the grant has it. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

/** What the host lends to agent facets. */
export interface AgentServices {
  readonly logger: Logger;
  readonly clock: Clock;
  /** `target_ssh` public keys, as wire blobs: whom a built-in node lets in. */
  targetAuthorities(): readonly Buffer[];
  /** This agent's own host key and a certificate of `host_ssh` for one of its target names. */
  hostCertificate(name: string): Promise<HostCertificate>;
  /** A certificate of `db_client` for logging in to one of its databases: CN=<user>@<target> (D21). */
  databaseCertificate(name: string, user: string): Promise<ClientCertificate>;
  /** OS user rules of the built-in node (D32). */
  readonly builtin: { readonly sameUserAccepted: boolean };
}

export interface AgentProtocol<Spec = unknown> {
  readonly name: string;
  /**
   * Reaches the target and logs in where the protocol says so.
   * @throws TARGET_UNREACHABLE with the reason refused, not_found or timed_out; an error with the reason login_failed, whose
   * words the person gets
   */
  connect(dial: AgentDial<Spec>): Promise<Duplex>;
}

/** The facet in `target.ts`: what a target of this protocol is. */
export interface TargetType<Spec = unknown> {
  readonly protocol: string;
  readonly kind: TargetKind;
  readonly help: string;
  readonly spec: z.ZodType<Spec>;
  /** Field of a role that names principals of this kind (`logins`, `db_users`, …) or undefined where there are none. */
  readonly principals: 'logins' | 'db_users' | 'desktop_logins' | undefined;
  /** Why an agent takes such a spec from its own configuration alone, and from no document; undefined where it takes both. */
  onlyConfigured?(spec: Spec): string | undefined;
}

/** A row of a protocol's `events.ts`. */
export interface EventDefinition {
  readonly description: string;
  readonly data: z.ZodType;
}

export type EventTable = Readonly<Record<string, EventDefinition>>;
