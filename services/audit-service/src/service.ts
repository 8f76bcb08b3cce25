/**
 * Composition root of audit-service. In this order: private port → database migrated → consumers of both topics → membership
 * and policy → listener. Events are stored also while auth-service is away; people are answered once its roles are known.
 */
import { systemClock, type Clock } from '@gatehouse/kit/clock';
import { readSecretFile, type Secret } from '@gatehouse/kit/config';
import { topics, type EventLog, type Subscription } from '@gatehouse/kit/event-log';
import { openPrivatePort, type Readiness } from '@gatehouse/kit/http';
import { withDeadline } from '@gatehouse/kit/lifecycle';
import { createLogger, type Logger } from '@gatehouse/kit/log';
import { splitAddress } from '@gatehouse/kit/net';
import {
  createRpcServer,
  drainServers,
  type RpcConnection,
  type RpcServer,
} from '@gatehouse/kit/rpc';
import {
  joinCluster,
  readReadiness,
  watchPolicy,
  type Membership,
  type PolicyView,
} from '@gatehouse/membership';

import type { AuditConfig } from './config.js';
import type { Deps, Policy } from './deps.js';
import { group, openOwnEventLog } from './event-log.js';
import { createDays } from './events/days.js';
import { storeLearnedTypes } from './events/learned-types.js';
import { endLostSessions } from './events/lost-sessions.js';
import { createPageTokens } from './events/page-token.js';
import { publishOwnEvents } from './events/publish-own-events.js';
import { storeEventBatch } from './events/store-events.js';
import { createTailHub } from './events/tail-hub.js';
import { eventTypes } from './events/types.js';
import { createAuditMetrics } from './metrics.js';
import { keepManifests } from './recordings/manifest.js';
import { createDirectoryStore } from './recordings/object-store.js';
import { storeChunkBatch } from './recordings/store-chunks.js';
import { keepRetention } from './retention.js';
import { bindAuditService } from './rpc/index.js';
import { openDatabase } from './store/open-database.js';
import { watchDatabase, type DatabaseWatch } from './store/watch-database.js';

export { auditConfigSchema, type AuditConfig } from './config.js';
export { auditErrors } from './errors.js';
export { auditEvents } from './events.js';

/** Who this replica is and whom it trusts. */
export type AuditMembership = Pick<
  Membership,
  'replicaId' | 'tls' | 'identify' | 'isExpired' | 'onChange'
> & {
  /** Without it nobody is asked which sessions are live. */
  readonly auth?: Pick<RpcConnection, 'client'>;
};

/** What a caller may put in place of the real thing. */
export interface AuditOverrides {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly eventLog: EventLog;
  /** In place of those of this release. */
  readonly eventTypes: ReadonlySet<string>;
  /** In place of `database.url`: may hold a password. */
  readonly databaseUrl: Secret;
  /** In place of joining through auth-service, together. */
  readonly cluster: { readonly membership: AuditMembership; readonly policy: Policy };
}

export interface AuditService extends AsyncDisposable {
  readonly replicaId: string;
  /** Listener behind the proxies, `host:port`. */
  readonly publicAddress: string;
  readonly metricsUrl: string;
}

/** How long a start waits for a first view of the policy before it listens without one. */
const policyWaitMs = 10_000;

/** Resolves when listening. @throws MIGRATION_FAILED, ENROLLMENT_REFUSED, or why a listener failed */
export async function createAuditService(
  config: AuditConfig,
  overrides: Partial<AuditOverrides> = {},
): Promise<AuditService> {
  const clock = overrides.clock ?? systemClock;
  const logger = overrides.logger ?? createLogger({ name: 'audit', ...config.log });
  await using stack = new AsyncDisposableStack();
  const privatePort = stack.use(
    await openPrivatePort({ ...splitAddress(config.metrics_listen), logger }),
  );
  const store = await openStore(config, overrides, { clock, logger, stack });
  stack.use(keepRetention(store, config.retention));
  const watch = stack.use(watchDatabase(store.database, logger));
  store.metrics.gauge('gatehouse.database.up', 'the database answers', () =>
    watch.isHealthy() ? 1 : 0,
  );
  const consumers = await startConsumers(store, stack);
  const { membership, policy }: AuditOverrides['cluster'] =
    overrides.cluster ?? (await enterCluster(config, { clock, logger, stack }));
  const pageTokens = createPageTokens(readSecretFile(config.auth.join_secret_file).reveal());
  const deps: Deps = {
    ...store,
    clusterName: config.cluster_name,
    replicaId: membership.replicaId,
    policy,
    pageTokens,
  };
  stack.use(publishOwnEvents(deps));
  if (membership.auth) stack.use(endLostSessions({ ...deps, auth: membership.auth }));
  const state = { isDraining: false };
  const observed = { membership, watch, consumers, state };
  const server = await openListener(config, { deps, membership, stack });
  privatePort.serve({
    readiness: () => readiness(policy, observed),
    metrics: async () => deps.metrics.render(),
  });
  const { url: metricsUrl } = privatePort;
  stack.defer(async () => drainServers([server], { settings: config, state }));
  const publicAddress = formatAddress(server);
  logger.info({ replica: deps.replicaId, publicAddress, metricsUrl }, 'audit-service is listening');
  const resources = stack.move();
  return {
    replicaId: deps.replicaId,
    publicAddress,
    metricsUrl,
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  };
}

/** Brings the database up to date and ends (`audit-service migrate`). @throws MIGRATION_FAILED */
export async function migrateDatabase(
  config: AuditConfig,
  overrides: Partial<AuditOverrides> = {},
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const logger = overrides.logger ?? createLogger({ name: 'audit', ...config.log });
  const { databaseUrl } = overrides;
  const settings = { ...config.database, migrations: 'apply' as const };
  await openDatabase(settings, { logger, stack, databaseUrl });
}

type StoreDeps = Omit<Deps, 'clusterName' | 'replicaId' | 'policy' | 'pageTokens'>;

async function openStore(
  config: AuditConfig,
  overrides: Partial<AuditOverrides>,
  base: Pick<Deps, 'clock' | 'logger'> & { readonly stack: AsyncDisposableStack },
): Promise<StoreDeps> {
  const { clock, logger, stack } = base;
  const eventLog = overrides.eventLog ?? openOwnEventLog(config, base);
  const { database, coordination } = await openDatabase(config.database, {
    logger,
    stack,
    databaseUrl: overrides.databaseUrl,
  });
  const objects = createDirectoryStore(config.recordings.dir);
  return {
    clock,
    logger,
    eventLog,
    database,
    coordination,
    tailHub: stack.use(await createTailHub({ database, coordination, logger })),
    objects,
    manifests: stack.use(keepManifests({ database, objects, logger })),
    days: createDays({ clock, retention: config.retention }),
    eventTypes: overrides.eventTypes ?? eventTypes,
    metrics: createAuditMetrics(),
  };
}

async function startConsumers(
  deps: StoreDeps,
  stack: AsyncDisposableStack,
): Promise<Subscription[]> {
  const { eventLog } = deps;
  const events = stack.use(
    await eventLog.subscribe({
      topic: topics.audit,
      group,
      onBatch: async (records) => storeEventBatch(deps, records),
    }),
  );
  const chunks = stack.use(
    await eventLog.subscribe({
      topic: topics.recordings,
      group,
      onBatch: async (records) => storeChunkBatch(deps, records),
    }),
  );
  stack.use(storeLearnedTypes(deps));
  noteLag(deps.metrics, 'events', events);
  noteLag(deps.metrics, 'recordings', chunks);
  return [events, chunks];
}

/** Of this replica; the sum over all of them is the cluster's. */
function noteLag({ gauge }: StoreDeps['metrics'], name: string, reader: Subscription): void {
  gauge(
    `gatehouse.audit.lag.${name}`,
    `records on the topic of ${name} not stored yet`,
    () => reader.lag().records,
  );
  gauge(
    `gatehouse.audit.lag.${name}_seconds`,
    `for how long the oldest of them has waited`,
    () => reader.lag().behindMs / 1000,
  );
}

async function enterCluster(
  config: AuditConfig,
  { clock, logger, stack }: { clock: Clock; logger: Logger; stack: AsyncDisposableStack },
): Promise<{ membership: Membership; policy: PolicyView }> {
  const membership = stack.use(
    await joinCluster({
      kind: 'audit',
      clusterName: config.cluster_name,
      authAddress: config.auth.address,
      joinSecret: readSecretFile(config.auth.join_secret_file),
      stateDir: config.state_dir,
      dnsNames: ['localhost', '127.0.0.1', `audit.${config.cluster_name}.gatehouse.internal`],
      clock,
      logger,
    }),
  );
  const kinds = ['user', 'role', 'lock', 'trust', 'login_end'];
  const onTrust: Membership['setTrust'] = (trust) => membership.setTrust(trust);
  const policy = stack.use(watchPolicy({ auth: membership.auth, kinds, clock, logger, onTrust }));
  await withDeadline(policy.ready, policyWaitMs, () => new Error('no policy yet')).catch(
    (thrown: unknown) => {
      logger.warn({ err: thrown }, 'listening without a view of the policy');
    },
  );
  return { membership, policy };
}

async function openListener(
  config: AuditConfig,
  {
    deps,
    membership,
    stack,
  }: { deps: Deps; membership: AuditMembership; stack: AsyncDisposableStack },
): Promise<RpcServer> {
  const server = stack.use(
    await createRpcServer({
      ...splitAddress(config.public_listen),
      tls: membership.tls(),
      proxyHeader: true,
      answerStrangers: true,
      services: [bindAuditService(deps)],
      identify: (certificate) => membership.identify(certificate),
      logger: deps.logger,
    }),
  );
  membership.onChange(() => server.replaceTls(membership.tls()));
  return server;
}

/** What `/readyz` looks at. */
interface Observed {
  readonly membership: AuditMembership;
  readonly watch: DatabaseWatch;
  readonly consumers: readonly Subscription[];
  readonly state: { readonly isDraining: boolean };
}

/** All replicas share the database and the log: without them none is better than another. */
function readiness(policy: Policy, { membership, watch, consumers, state }: Observed): Readiness {
  const degraded = [
    ...(watch.isHealthy() ? [] : ['database']),
    ...(consumers.some((consumer) => consumer.isFailing()) ? ['kafka'] : []),
  ];
  return readReadiness({ ...state, membership, policy, degraded });
}

function formatAddress({ address }: RpcServer): string {
  return address.family === 'IPv6'
    ? `[${address.address}]:${address.port}`
    : `${address.address}:${address.port}`;
}
