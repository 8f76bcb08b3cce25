/**
 * Composition root of tunnel-service. Agents' tunnels come in on the public side; proxies ask for connections through
 * them by gRPC; what is known of people and targets never comes near: a dial carries a grant that only agents can check.
 */
import { systemClock, type Clock } from '@gatehouse/kit/clock';
import { readSecretFile } from '@gatehouse/kit/config';
import { openEventLog, type EventLog } from '@gatehouse/kit/event-log';
import { openPrivatePort, type PrivatePort } from '@gatehouse/kit/http';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import { createLogger, type Logger } from '@gatehouse/kit/log';
import { splitAddress } from '@gatehouse/kit/net';
import { bulkWindowBytes, createRpcServer, type RpcServer } from '@gatehouse/kit/rpc';
import { openSpool, type Spool } from '@gatehouse/kit/spool';
import { createMetrics, currentTraceparent, inSpan } from '@gatehouse/kit/telemetry';
import {
  joinCluster,
  measurePolicy,
  readReadiness,
  watchPolicy,
  type Caller,
  type Membership,
  type PolicyChange,
  type PolicyView,
} from '@gatehouse/membership';
import { findLock } from '@gatehouse/policy';
import {
  createTunnelRpc,
  dialError,
  tunnelServiceDefinition,
  type TunnelRpc,
} from '@gatehouse/tunnel';

import { createAdmission } from './agents/admission.js';
import { serveAgent, type AgentSessionDeps } from './agents/agent-session.js';
import { LiveTunnels } from './agents/live-tunnels.js';
import { encodeLocks, findAgentLock } from './agents/news.js';
import { openPublicPort, type PublicPort } from './agents/public-port.js';
import { createRegistrar } from './agents/registrar.js';
import { createReplicaPlaces, type ReplicaPlaces } from './agents/replica-places.js';
import type { TunnelConfig } from './config.js';
import { drainTunnels } from './drain.js';
import { createRefusalEvents } from './events.js';

export { tunnelConfigSchema, type TunnelConfig } from './config.js';

/** What a caller may put in place of the real thing. */
export interface TunnelDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where audit events go, through the spool; without it they are only logged. */
  readonly eventLog: EventLog;
  readonly membership: Membership;
  /** Kinds `agent`, `lock` and `trust`. */
  readonly policy: PolicyView;
  /** Interval of pings to agents. */
  readonly pingIntervalMs: number;
}

export interface TunnelService extends AsyncDisposable {
  readonly replicaId: string;
  /** For the proxies, `host:port`. */
  readonly address: string;
  /** For agents, `host:port`. */
  readonly publicAddress: string;
  readonly metricsUrl: string;
  /** Tunnels that stand. */
  readonly tunnels: number;
  /** Connections through them. */
  readonly dials: number;
}

/** Joins the cluster and listens on both sides. A first view of the locks is waited for: a locked agent is not let in. */
export async function createTunnelService(
  config: TunnelConfig,
  overrides: Partial<TunnelDeps> = {},
): Promise<TunnelService> {
  const clock = overrides.clock ?? systemClock;
  const logger = overrides.logger ?? createLogger({ name: 'tunnel', ...config.log });
  await using stack = new AsyncDisposableStack();
  const privatePort = stack.use(
    await openPrivatePort({ ...splitAddress(config.metrics_listen), logger }),
  );
  const membership = overrides.membership ?? stack.use(await join(config, { clock, logger }));
  const policy =
    overrides.policy ??
    stack.use(
      watchPolicy({
        auth: membership.auth,
        kinds: ['agent', 'lock', 'trust'],
        clock,
        logger,
        onTrust: (trust) => {
          membership.setTrust(trust);
        },
      }),
    );
  const eventLog =
    overrides.eventLog ??
    openEventLog(config.event_log, { clientId: 'gatehouse-tunnel', clock, logger });
  if (eventLog && overrides.eventLog === undefined) stack.use(eventLog);
  const spool = await openOwnSpool(config, { eventLog, clock, logger, membership });
  if (spool) stack.use(spool);
  await policy.ready;
  const parts = { config, clock, logger, privatePort, membership, policy, spool, overrides };
  return await startServing(parts, stack.move());
}

async function join(
  config: TunnelConfig,
  { clock, logger }: { clock: Clock; logger: Logger },
): Promise<Membership> {
  return joinCluster({
    kind: 'tunnel',
    clusterName: config.cluster_name,
    authAddress: config.auth.address,
    joinSecret: readSecretFile(config.auth.join_secret_file),
    stateDir: config.state_dir,
    dnsNames: [...config.dns_names, `tunnel.${config.cluster_name}.gatehouse.internal`],
    clock,
    logger,
  });
}

async function openOwnSpool(
  config: TunnelConfig,
  deps: { eventLog: EventLog | undefined; clock: Clock; logger: Logger; membership: Membership },
): Promise<Spool | undefined> {
  const { eventLog, clock, logger, membership } = deps;
  if (eventLog === undefined || config.spool === undefined) return undefined;
  return openSpool({
    dir: config.spool.dir,
    eventLog,
    clock,
    logger,
    cluster: config.cluster_name,
    replicaId: membership.replicaId,
    serviceKind: 'tunnel',
    limits: { eventsBytes: config.spool.events },
  });
}

interface Parts {
  readonly config: TunnelConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly privatePort: PrivatePort;
  readonly membership: Membership;
  readonly policy: PolicyView;
  readonly spool: Spool | undefined;
  readonly overrides: Partial<TunnelDeps>;
}

interface Serving {
  readonly live: LiveTunnels;
  readonly rpc: TunnelRpc;
  readonly state: { isDraining: boolean };
}

async function startServing(parts: Parts, moved: AsyncDisposableStack): Promise<TunnelService> {
  await using stack = moved;
  const { config, logger, membership } = parts;
  const { replicaId } = membership;
  const registrar = stack.use(
    createRegistrar({ auth: membership.auth, replicaId, logger, agentIds: () => live.agentIds() }),
  );
  const live: LiveTunnels = new LiveTunnels(replicaId, registrar);
  const places = stack.use(createReplicaPlaces({ replicaId, live, limits: config.limits }));
  const rpc = createRpc(parts, live, places);
  const serving: Serving = { live, rpc, state: { isDraining: false } };
  const server = stack.use(await listenForProxies(parts, rpc));
  const refusals = stack.use(createRefusalEvents(parts));
  const session: AgentSessionDeps = {
    replicaId,
    live,
    registrar,
    places,
    clock: parts.clock,
    logger,
    limits: {
      maxStreams: config.limits.streams_per_tunnel,
      handshakeTimeoutMs: config.limits.handshake_timeout,
      ...pingInterval(parts.overrides),
    },
    helloTimeoutMs: config.limits.handshake_timeout,
    locks: () => parts.policy.locks(),
    trust: () => membership.trust(),
    onRefused: (refusal) => refusals.write(refusal),
  };
  const port = stack.use(await listenForAgents(parts, session));
  stack.defer(() => {
    for (const { tunnel } of live.all()) tunnel.close();
  });
  keepNews(parts, { live, server, port }, stack);
  serveHealth(parts, serving);
  stack.defer(async () => drainTunnels({ ...serving, port, config, logger }));
  const { host, port: publicPort } = hostAndPort(port.address);
  const internal = hostAndPort(server.address);
  logger.info(
    { replica: membership.replicaId, host, publicPort, internal },
    'tunnel-service is listening',
  );
  const resources = stack.move();
  return {
    replicaId,
    address: `${internal.host}:${internal.port}`,
    publicAddress: `${host}:${publicPort}`,
    metricsUrl: parts.privatePort.url,
    get tunnels() {
      return live.size;
    },
    get dials() {
      return rpc.dialCount();
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

function pingInterval({ pingIntervalMs }: Partial<TunnelDeps>): { pingIntervalMs?: number } {
  return pingIntervalMs === undefined ? {} : { pingIntervalMs };
}

function hostAndPort({ address, port }: { address: string; port: number }) {
  return { host: address.includes(':') ? `[${address}]` : address, port };
}

function createRpc(
  { membership, policy, clock }: Parts,
  live: LiveTunnels,
  places: ReplicaPlaces,
): TunnelRpc {
  return createTunnelRpc({
    replicaId: () => membership.replicaId,
    proxyOf(certificate) {
      try {
        const caller = membership.identify(certificate);
        if (caller.type !== 'service' || caller.kind !== 'proxy') return undefined;
        const lock = findLock(policy.locks(), { replica: caller.id }, clock.now());
        return lock === undefined ? caller.id : undefined;
      } catch {
        return undefined;
      }
    },
    async open({ agentId, grant, sessionId, traceparent }, signal) {
      const [newest] = live.find(agentId);
      if (newest === undefined || findAgentLock(policy.locks(), newest, clock) !== undefined)
        throw dialError('offline');
      const attributes = { 'session.id': sessionId, 'agent.id': agentId };
      return inSpan('tunnel.dial', { attributes, traceparent }, async () => {
        const trace = currentTraceparent() || traceparent;
        const dial = { grant, sessionId, signal, ...(trace === '' ? {} : { traceparent: trace }) };
        return newest.tunnel.open(dial);
      });
    },
    watch(onChange) {
      const sight = places.addSight();
      const stopWatching = live.watch(onChange);
      return {
        noteReplicas: (ids) => sight.set(ids),
        stop() {
          stopWatching();
          sight[Symbol.dispose]();
        },
      };
    },
    tellProxies: (note) => live.tellProxies(note),
    moveTunnels(proxyId) {
      for (const { tunnel, viaProxy } of live.all())
        if (viaProxy === proxyId)
          tunnel.control.send({ message: { $case: 'drain', value: { proxyOnly: true } } });
    },
  });
}

async function listenForProxies({ config, membership, logger }: Parts, rpc: TunnelRpc) {
  return createRpcServer({
    ...splitAddress(config.listen),
    tls: membership.tls(),
    services: [],
    rawServices: [{ definition: tunnelServiceDefinition, implementation: rpc.implementation }],
    receiveWindowBytes: bulkWindowBytes,
    identify: (certificate) => membership.identify(certificate),
    logger,
  });
}

async function listenForAgents(
  { config, clock, membership, logger }: Parts,
  session: AgentSessionDeps,
): Promise<PublicPort> {
  const { limits } = config;
  return openPublicPort({
    ...splitAddress(config.public_listen),
    proxyHeader: config.proxy_header,
    tls: membership.tls(),
    admission: createAdmission({ perSecond: limits.admissions_per_second, clock }),
    maxConnections: limits.tunnels,
    handshakeTimeoutMs: limits.handshake_timeout,
    logger,
    identify: (certificate) => membership.identify(certificate),
    onAgent(arrival) {
      runInBackground(() => serveAgent(arrival, session), logger);
    },
    onRefused: (refusal) => {
      session.onRefused(refusal);
    },
  });
}

/** So long at most until an agent serves a target that a new document gives it. */
const refreshIntervalMs = 10_000;

/** A locked agent's tunnels stay so long, for proxies to tell people of the lock; nothing new is opened in them. */
const lastWordMs = 300;

/** Locks, deletions, trust, documents and the ends of certificates reach open tunnels. */
function keepNews(
  { policy, membership, clock, logger }: Parts,
  { live, server, port }: { live: LiveTunnels; server: RpcServer<Caller>; port: PublicPort },
  stack: AsyncDisposableStack,
): void {
  const enforceLocks = () => {
    const isReplicaLocked = (replica: string) =>
      findLock(policy.locks(), { replica }, clock.now()) !== undefined;
    server.closeConnections((caller) => caller.type === 'service' && isReplicaLocked(caller.id));
    const news = encodeLocks(policy.locks());
    const isLocked = isReplicaLocked(membership.replicaId);
    for (const one of live.all()) {
      if (isLocked) one.tunnel.close();
      else if (findAgentLock(policy.locks(), one, clock) !== undefined)
        setTimeout(() => one.tunnel.close(), lastWordMs).unref();
      else for (const message of news) one.tunnel.control.send(message);
    }
  };
  policy.onChange((change) => {
    if (change.kind === 'lock' || change.kind === 'snapshot') enforceLocks();
    closeDeleted(live, policy, change);
  });
  membership.onChange(() => {
    server.replaceTls(membership.tls());
    port.replaceTls(membership.tls());
    const value = membership.trust();
    for (const { tunnel } of live.all())
      tunnel.control.send({ message: { $case: 'trust', value } });
  });
  const timer = setInterval(() => {
    const nowMs = clock.now();
    for (const { tunnel, expiresAtMs, agentId } of live.all()) {
      if (nowMs < expiresAtMs) continue;
      logger.info({ agentId }, 'certificate of the tunnel has ended');
      tunnel.close();
    }
  }, 5_000);
  // Documents are no business of this service; which of them are an agent's, auth-service answers when it registers.
  const refresh = setInterval(() => {
    for (const one of live.all()) if (one.dynamic.length > 0) one.refresh();
  }, refreshIntervalMs);
  stack.defer(() => {
    clearInterval(timer);
    clearInterval(refresh);
  });
}

/** Closes the tunnels of agents that are no more: no renewal, lock or end of a certificate would end them soon. */
function closeDeleted(
  live: LiveTunnels,
  policy: PolicyView,
  { kind, name, document }: PolicyChange,
): void {
  if (kind === 'agent' && document === undefined)
    for (const { tunnel } of live.find(name)) tunnel.close();
  // A view without any agent is of an auth-service that tells of none.
  if (kind === 'snapshot' && policy.agents().length > 0)
    for (const { tunnel, agentId } of live.all())
      if (policy.agent(agentId) === undefined) tunnel.close();
}

function serveHealth(parts: Parts, { live, rpc, state }: Serving): void {
  const { privatePort, membership, policy, spool } = parts;
  const metrics = createMetrics();
  metrics.gauge('gatehouse.tunnel.active', 'tunnels that stand', () => live.size);
  metrics.gauge('gatehouse.tunnel.agents', 'agents that are here', () => live.agentIds().length);
  metrics.gauge('gatehouse.tunnel.dials', 'connections through tunnels', () => rpc.dialCount());
  measurePolicy(metrics, policy);
  if (spool)
    metrics.gauge(
      'gatehouse.spool.events.bytes',
      'audit events not yet acknowledged',
      () => spool.state().events.bytes,
    );
  privatePort.serve({
    readiness: () => readReadiness({ ...state, membership, policy, spool: spool?.state() }),
    metrics: async () => metrics.render(),
  });
}
