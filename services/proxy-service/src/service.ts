/** Composition root of proxy-service: builds everything from its configuration, in the order in which it is needed. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

import type { Identity } from '@gatehouse/identity';
import { systemClock, type Clock } from '@gatehouse/kit/clock';
import { readSecretFile } from '@gatehouse/kit/config';
import { openEventLog, type EventLog } from '@gatehouse/kit/event-log';
import { openPrivatePort, type PrivatePort } from '@gatehouse/kit/http';
import { drain } from '@gatehouse/kit/lifecycle';
import { createLogger, type Logger } from '@gatehouse/kit/log';
import { splitAddress } from '@gatehouse/kit/net';
import { openSpool, type Spool } from '@gatehouse/kit/spool';
import { createMetrics, type MetricRegistry } from '@gatehouse/kit/telemetry';
import {
  joinCluster,
  measurePolicy,
  readReadiness,
  watchPolicy,
  type Membership,
  type PolicyView,
} from '@gatehouse/membership';
import type { ProxyProtocol, ProxyServices } from '@gatehouse/protocol-api';
import { proxyProtocols } from '@gatehouse/protocol-registry/proxy';
import { targetTypes } from '@gatehouse/protocol-registry/targets';
import { createAgentDirectory, type AgentDirectory } from '@gatehouse/tunnel';

import type { ProxyConfig } from './config.js';
import { createCredentials } from './credentials/credentials.js';
import { createDialer } from './dial/dialer.js';
import { findReplicas, type Replicas } from './dial/replicas.js';
import { proxyError } from './errors.js';
import { createWeb } from './http/routes.js';
import { createConnectionLimits } from './port/connection-limits.js';
import { openPort, type Port, type PortRoutes } from './port/port.js';
import { createRouting } from './port/routing.js';
import { watchGateways } from './sessions/gateway-watch.js';
import { createHost } from './sessions/host.js';
import { trackSessions } from './sessions/live-sessions.js';
import { createRefusalLog } from './sessions/refusal-log.js';

export { proxyConfigSchema, type ProxyConfig } from './config.js';

/** What a caller may put in place of the real thing. */
export interface ProxyDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly eventLog: EventLog;
  readonly protocols: Readonly<Record<string, (typeof proxyProtocols)[string]>>;
  /** Called with the port's address as soon as it listens. */
  onListening?(address: { host: string; port: number }): void;
}

export interface ProxyService extends AsyncDisposable {
  readonly replicaId: string;
  readonly address: { readonly host: string; readonly port: number };
  readonly metricsUrl: string;
  readonly sessions: number;
}

const watchedKinds = [
  'user',
  'role',
  'lock',
  'cluster_auth_preference',
  'node',
  'kube_cluster',
  'database',
  'app',
  'desktop',
  'agent',
  'trust',
  'session_end',
  'login_end',
];
const webDir = findPages(import.meta.dirname);

/** The web's pages, in a folder above: how far depends on whether this is the source or what was built of it. */
function findPages(from: string): string {
  const pages = join(from, 'apps/web/public');
  return existsSync(pages) || from === dirname(from) ? pages : findPages(dirname(from));
}

/** @throws PROXY_NO_EVENT_LOG */
function openOwnEventLog(
  { event_log }: ProxyConfig,
  { clock, logger, stack }: { clock: Clock; logger: Logger; stack: AsyncDisposableStack },
): EventLog {
  const eventLog = openEventLog(event_log, { clientId: 'gatehouse-proxy', clock, logger });
  if (eventLog === undefined) throw proxyError('PROXY_NO_EVENT_LOG');
  return stack.use(eventLog);
}

/** Joins the cluster, waits for a first view of its policy, then opens the port. */
export async function createProxyService(
  config: ProxyConfig,
  overrides: Partial<ProxyDeps> = {},
): Promise<ProxyService> {
  const clock = overrides.clock ?? systemClock;
  const logger = overrides.logger ?? createLogger({ name: 'proxy', ...config.log });
  await using stack = new AsyncDisposableStack();
  const privatePort = stack.use(
    await openPrivatePort({ ...splitAddress(config.metrics_listen), logger }),
  );
  const eventLog = overrides.eventLog ?? openOwnEventLog(config, { clock, logger, stack });
  const publicHost = splitAddress(config.public_addr).host;
  const membership = stack.use(
    await joinCluster({
      kind: 'proxy',
      clusterName: config.cluster_name,
      authAddress: config.auth.address,
      joinSecret: readSecretFile(config.auth.join_secret_file),
      stateDir: config.state_dir,
      dnsNames: [
        ...new Set([
          publicHost,
          'localhost',
          '127.0.0.1',
          '::1',
          `proxy.${config.cluster_name}.gatehouse.internal`,
        ]),
      ],
      clock,
      logger,
    }),
  );
  const policy = stack.use(
    watchPolicy({
      auth: membership.auth,
      kinds: watchedKinds,
      clock,
      logger,
      onTrust: (trust) => membership.setTrust(trust),
    }),
  );
  const spool = stack.use(
    await openSpool({
      dir: config.spool.dir,
      eventLog,
      clock,
      logger,
      cluster: config.cluster_name,
      replicaId: membership.replicaId,
      limits: { eventsBytes: config.spool.events, recordingsBytes: config.spool.recordings },
    }),
  );
  await policy.ready;
  const parts = { config, clock, logger, privatePort, membership, policy, spool, overrides };
  return await startServing({ ...parts, stack: stack.move() });
}

interface Parts {
  readonly config: ProxyConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly privatePort: PrivatePort;
  readonly membership: Membership;
  readonly policy: PolicyView;
  readonly spool: Spool;
  readonly overrides: Partial<ProxyDeps>;
  readonly stack: AsyncDisposableStack;
}

async function startServing(parts: Parts): Promise<ProxyService> {
  const { membership } = parts;
  await using stack = parts.stack;
  const handling = await createHandling(parts, stack);
  const { live, protocols, routing } = handling;
  const state = { isDraining: false };
  const port = stack.use(await listen(parts, protocols, routing.routes));
  serveHealth(parts, state, () => live.size);
  stack.defer(async () => drainSessions(parts, { ...handling, port, state }));
  const { replicaId } = membership;
  const address = { host: port.address.address, port: port.address.port };
  const metricsUrl = parts.privatePort.url;
  parts.logger.info({ replica: replicaId, address, metricsUrl }, 'proxy-service is listening');
  const resources = stack.move();
  return {
    replicaId,
    address,
    metricsUrl,
    get sessions() {
      return live.size;
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** All that stands behind the port. */
async function createHandling(parts: Parts, stack: AsyncDisposableStack) {
  const { config, clock, logger, membership, policy, spool } = parts;
  const credentials = createCredentials({ membership, policy, clock, logger });
  const { replicaId } = membership;
  const { directory, tunnelAddresses } = await watchTunnels(parts, stack);
  const live = stack.use(
    trackSessions({ auth: membership.auth, policy, clock, logger, replicaId }),
  );
  const protocols = createProtocols(parts, { credentials, replicas: createReplicas(directory) });
  const identityEndsAt = (identity: Identity) => credentials.identityEndsAt(identity);
  const host = createHost({
    policy,
    clock,
    logger,
    spool,
    live,
    refusals: stack.use(createRefusalLog({ clock, logger, spool })),
    gateways: watchGateways({ policy, clock, identityEndsAt }),
    replicaId,
    dialer: createDialer({ membership, directory, clock }),
    kindsOf: (protocol) =>
      Object.values(targetTypes)
        .filter((type) => type.protocol === protocol)
        .map((type) => type.kind),
    identityEndsAt,
    openTimeoutMs: config.limits.login_timeout,
  });
  const trust = () => membership.trust();
  const web = await createWeb({
    auth: membership.auth,
    publicAddress: config.public_addr,
    trust,
    logger,
    webDir,
  });
  stack.defer(() => web.close());
  const routing = createRouting({
    config,
    membership,
    credentials,
    protocols,
    host,
    web,
    clock,
    logger,
    tunnelAddresses,
  });
  membership.onChange(() => routing.reload());
  return { live, protocols, routing, directory };
}

/** Which tunnel replicas there are, which agents they have, and where agents' connections are passed on to. */
async function watchTunnels({ config, membership, logger }: Parts, stack: AsyncDisposableStack) {
  const directory = stack.use(
    createAgentDirectory({
      connect: (address) => membership.connect({ address, kind: 'tunnel' }),
      proxyId: membership.replicaId,
      logger,
    }),
  );
  const replicas = stack.use(
    await findReplicas({
      addresses: config.tunnel.addresses,
      publicAddresses: config.tunnel.public_addresses,
      logger,
      onChange: (addresses) => directory.use(addresses),
    }),
  );
  return {
    directory,
    tunnelAddresses: (id: string | undefined) => findAddresses(directory, replicas, id),
  };
}

/** Of the replica with this id, if it is reached; without one of those that are reached, or of all where none is. */
function findAddresses(
  directory: AgentDirectory,
  replicas: Replicas,
  id: string | undefined,
): string[] {
  const all = directory.replicas();
  const connected = all.filter(({ isConnected }) => isConnected);
  const any = connected.length > 0 ? connected : all;
  return (id === undefined ? any : connected.filter(({ replicaId }) => replicaId === id))
    .map(({ address }) => replicas.publicAddress(address))
    .filter((address) => address !== undefined);
}

type Handling = Awaited<ReturnType<typeof createHandling>>;

/**
 * Agents whose tunnels run through here dial again elsewhere; whoever is logging in may go on, and sessions, also those of
 * other proxies that go through such a tunnel, may end by themselves (D29).
 */
async function drainSessions(
  { config, logger }: Parts,
  parts: Pick<Handling, 'live' | 'directory'> & {
    readonly port: Port;
    readonly state: { isDraining: boolean };
  },
): Promise<void> {
  const { live, directory, port, state } = parts;
  const left = await drain({
    settings: config,
    state,
    async stopAccepting() {
      port.stopAccepting();
      if (config.drain_timeout > 0) await directory.moveTunnels();
    },
    openCount: () => port.awaited,
  });
  if (left > 0 && config.drain_timeout > 0)
    logger.warn(
      { sessions: live.size, connections: left },
      'connections were cut at the end of the drain time',
    );
  live.endAll({ reason: 'proxy_stopping', message: 'this proxy is stopping; connect again' });
  await live.drained(2_000);
}

function serveHealth(
  parts: Parts,
  state: { isDraining: boolean },
  liveSessions: () => number,
): void {
  const metrics = createProxyMetrics(parts, liveSessions);
  parts.privatePort.serve({
    readiness: () => {
      const { membership, policy, spool } = parts;
      return readReadiness({ ...state, membership, policy, spool: spool.state() });
    },
    metrics: async () => metrics.render(),
  });
}

/** Through the tunnel replicas, to which every proxy listens. */
function createReplicas(directory: AgentDirectory): ProxyServices['replicas'] {
  return {
    tell: (topic, content) => directory.tellProxies({ topic, content }),
    onTold: (topic, listener) =>
      directory.onNote((note) => {
        if (note.topic === topic) listener(note.content);
      }),
  };
}

function createProtocols(
  parts: Parts,
  lent: Pick<ProxyServices, 'credentials' | 'replicas'>,
): ProxyProtocol[] {
  const { config, clock, logger, membership, overrides } = parts;
  const services = {
    clock,
    logger,
    clusterName: config.cluster_name,
    replicaId: membership.replicaId,
    publicNames: [splitAddress(config.public_addr).host],
    ...lent,
  };
  return Object.values(overrides.protocols ?? proxyProtocols).map((create) => create(services));
}

async function listen(parts: Parts, protocols: readonly ProxyProtocol[], routes: PortRoutes) {
  const { config, clock, logger } = parts;
  const { limits } = config;
  return openPort({
    ...splitAddress(config.listen),
    greetings: protocols
      .map(({ clearGreeting }) => clearGreeting)
      .filter((greeting) => greeting !== undefined),
    greetingTimeoutMs: limits.greeting_timeout,
    limits: createConnectionLimits({
      perAddress: limits.unauthenticated_per_address,
      total: limits.unauthenticated_total,
      perSecond: limits.connections_per_second,
      clock,
    }),
    routes,
    logger,
  });
}

function createProxyMetrics({ spool, policy }: Parts, liveSessions: () => number): MetricRegistry {
  const metrics = createMetrics();
  metrics.gauge('gatehouse.session.active', 'sessions that are open', liveSessions);
  metrics.gauge(
    'gatehouse.spool.events.bytes',
    'audit events not yet acknowledged',
    () => spool.state().events.bytes,
  );
  metrics.gauge(
    'gatehouse.spool.recordings.bytes',
    'recording chunks not yet acknowledged',
    () => spool.state().recordings.bytes,
  );
  metrics.gauge(
    'gatehouse.spool.lost',
    'audit events dropped since the start',
    () => spool.state().lost,
  );
  measurePolicy(metrics, policy);
  return metrics;
}
