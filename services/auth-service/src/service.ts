/**
 * Composition root of auth-service. In this order: key-encryption key checked against the database before any write →
 * migrations → bootstrap → authorities opened → own certificate → jobs and relay → listeners.
 */
import { randomUUID } from 'node:crypto';

import { caPin } from '@gatehouse/identity';
import { systemClock, type Clock } from '@gatehouse/kit/clock';
import { readSecretFile, type Secret } from '@gatehouse/kit/config';
import { createFloodGate, openEventLog, type EventLog } from '@gatehouse/kit/event-log';
import { openPrivatePort, type PrivatePort, type Readiness } from '@gatehouse/kit/http';
import { createId } from '@gatehouse/kit/ids';
import { createLogger, type Logger } from '@gatehouse/kit/log';
import { splitAddress } from '@gatehouse/kit/net';
import { migrationsFolder, prepareDatabase, type Coordination } from '@gatehouse/kit/postgres';
import { createRpcServer, drainServers, type RpcServer } from '@gatehouse/kit/rpc';
import { createMetrics } from '@gatehouse/kit/telemetry';
import { createIdentifier, type Caller } from '@gatehouse/membership';
import type { TrustBundle } from '@gatehouse/proto/auth/v1/trust';

import { createRefusalRecorder } from './audit/refusals.js';
import { startAuditRelay, type AuditRelay } from './audit/relay.js';
import { openAuthorities, type Authorities } from './authorities/authorities.js';
import { bootstrapCluster } from './bootstrap/bootstrap.js';
import type { AuthConfig } from './config.js';
import type { Deps } from './deps.js';
import { createRoleCache } from './documents/role-cache.js';
import { createJoinToken, type JoinTokenRequest } from './enrollment/join-tokens.js';
import { authError } from './errors.js';
import { createEventWriter, systemActor } from './events.js';
import { startJobs, type Jobs } from './jobs.js';
import { createOwnCertificate, type OwnCertificate } from './own-certificate.js';
import { bindInternalServices, bindPublicServices } from './rpc/index.js';
import { checkKeyring } from './sealing/check-keys.js';
import { createKeyring, readKeyFile, type Keyring } from './sealing/keyring.js';
import { openDatabase } from './store/open-database.js';
import { createStore, type Db, type Store } from './store/store.js';
import type { Tables } from './store/tables.js';
import { createFirstInvite } from './users/invites.js';
import { createKeyedMutex } from './users/keyed-mutex.js';
import { createPasswordHasher } from './users/passwords.js';
import { createWatchHub } from './watch/hub.js';

export { authConfigSchema, type AuthConfig, type AuthConfigInput } from './config.js';
export { authErrors } from './errors.js';
export { authEvents } from './events.js';

/** What a caller may put in place of the real thing. */
export interface AuthOverrides {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where audit events go; needed with `event_log: {type: embedded}`. */
  readonly eventLog: EventLog;
  /** A database that the caller owns, with its coordination. */
  readonly database: Db;
  readonly coordination: Coordination<Tables>;
  /** In place of `database.url`: may hold a password. */
  readonly databaseUrl: Secret;
}

export interface FirstInvite {
  readonly token: string;
  readonly inviteUrl: string;
  readonly expiresAt: Date;
}

export interface AuthService extends AsyncDisposable {
  readonly replicaId: string;
  /** Internal listener, `host:port`. */
  readonly address: string;
  /** Listener behind the proxies, `host:port`. */
  readonly publicAddress: string;
  readonly metricsUrl: string;
  /** Of the active `host_tls` CA. */
  readonly caPin: string;
  /** Of all trusted `host_tls` CAs. */
  readonly caPins: readonly string[];
  trust(): TrustBundle;
  /**
   * A link for the first administrator; earlier ones end. Undefined once there is an administrator.
   * `logins`: OS users that this one person may log in as.
   */
  createFirstAdminInvite(options?: {
    readonly logins?: readonly string[];
  }): Promise<FirstInvite | undefined>;
  /** A join token without an administrator: for whoever starts service and agent together. */
  createAgentToken(request?: Partial<JoinTokenRequest>): Promise<string>;
  /** Resolves once every event written so far is in the event log. */
  flushAudit(): Promise<void>;
}

/** Resolves when listening. @throws KEK_MISMATCH, CLUSTER_MISMATCH, MIGRATION_FAILED, KEY_FILE_INVALID, or why a listener failed */
export async function createAuthService(
  config: AuthConfig,
  overrides: Partial<AuthOverrides> = {},
): Promise<AuthService> {
  await using stack = new AsyncDisposableStack();
  const clock = overrides.clock ?? systemClock;
  const logger = overrides.logger ?? createLogger({ name: 'auth' });
  const privatePort = stack.use(
    await openPrivatePort({ ...splitAddress(config.metrics_listen), logger }),
  );
  const { store, keyring } = await openStore(config, { ...overrides, clock, logger, stack });
  const deps = await createDeps(config, { clock, logger, store, keyring, stack });
  const certificate = stack.use(await createOwnCertificate(deps));
  const eventLog =
    overrides.eventLog ??
    openEventLog(config.event_log, { clientId: 'gatehouse-auth', clock, logger });
  if (eventLog && overrides.eventLog === undefined) stack.use(eventLog);
  const relay = await startRelay(deps, eventLog, stack);
  const jobs = stack.use(startJobs(deps));
  const state = { isDraining: false };
  const servers = await openListeners(deps, certificate, stack);
  const listeners = {
    address: formatAddress(servers.internal),
    publicAddress: formatAddress(servers.outer),
  };
  serveHealth(privatePort, deps, { certificate, relay, jobs, state });
  stack.defer(async () => drainServers(Object.values(servers), { settings: config, state }));
  logger.info({ replica: deps.replicaId, ...listeners }, 'auth-service is listening');
  const resources = stack.move();
  return describeService(deps, { ...listeners, metricsUrl: privatePort.url, relay, resources });
}

/** A link made without a running service (`auth-service invite-admin`). Undefined once there is an administrator. */
export async function inviteFirstAdministrator(
  config: AuthConfig,
  overrides: Partial<AuthOverrides> = {},
): Promise<FirstInvite | undefined> {
  await using stack = new AsyncDisposableStack();
  const clock = overrides.clock ?? systemClock;
  const logger = overrides.logger ?? createLogger({ name: 'auth', level: 'warn' });
  const { store, keyring } = await openStore(config, { ...overrides, clock, logger, stack });
  const deps = await createDeps(config, { clock, logger, store, keyring, stack });
  return encodeFirstInvite(await createFirstInvite(deps, []));
}

/** Brings the database up to date and ends (`auth-service migrate`). @throws MIGRATION_FAILED, DATABASE_SETTINGS */
export async function migrateDatabase(
  config: AuthConfig,
  overrides: Partial<AuthOverrides> = {},
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const logger = overrides.logger ?? createLogger({ name: 'auth', level: 'warn' });
  const { database, url } = openDatabase(config.database, { ...overrides, logger, stack });
  const settings = { ...config.database, migrations: 'apply' as const };
  await prepareDatabase(database, {
    folder: migrationsFolder(import.meta.url),
    name: 'auth',
    settings,
    url,
  });
}

interface Base {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stack: AsyncDisposableStack;
}

async function openStore(
  config: AuthConfig,
  base: Base & Partial<AuthOverrides>,
): Promise<{ store: Store; keyring: Keyring }> {
  const keyring = createKeyring(readKeyFile(config.kek_file));
  const { database, coordination, url } = openDatabase(config.database, base);
  await checkKeyring(database, keyring);
  const folder = migrationsFolder(import.meta.url);
  await prepareDatabase(database, { folder, name: 'auth', settings: config.database, url });
  const store = createStore({ database, coordination, clock: base.clock });
  await bootstrapCluster(store, keyring, config.cluster_name);
  return { store, keyring };
}

async function createDeps(
  config: AuthConfig,
  base: Base & { readonly store: Store; readonly keyring: Keyring },
): Promise<Deps> {
  const { clock, logger, store, keyring, stack } = base;
  const authorities: Authorities = await openAuthorities(
    store.database,
    keyring,
    config.cluster_name,
  );
  const files = config.join_secret_files;
  const secret = (path: string) => Buffer.from(readSecretFile(path).reveal());
  return {
    config,
    clusterName: config.cluster_name,
    replicaId: createId('srv'),
    clock,
    logger,
    store,
    keyring,
    authorities,
    roles: createRoleCache((role, thrown) =>
      logger.error({ err: thrown, role }, 'role is not understood: whoever has it gets nothing'),
    ),
    passwords: await createPasswordHasher(randomUUID()),
    loginTurns: createKeyedMutex(20, () => authError('LOGIN_BUSY')),
    registrationTurns: createKeyedMutex(4, () => authError('AGENT_BUSY')),
    floodGate: createFloodGate(clock),
    hub: stack.use(await createWatchHub(store, logger)),
    joinSecrets: {
      proxy: secret(files.proxy),
      tunnel: secret(files.tunnel),
      audit: secret(files.audit),
    },
    event: createEventWriter(config.cluster_name),
  };
}

async function startRelay(
  deps: Deps,
  eventLog: EventLog | undefined,
  stack: AsyncDisposableStack,
): Promise<AuditRelay | undefined> {
  if (eventLog === undefined) {
    deps.logger.warn('no event log: audit events stay in the database');
    return undefined;
  }
  const source = `gatehouse://${deps.clusterName}/service/auth/${deps.replicaId}`;
  return stack.use(
    await startAuditRelay({ store: deps.store, eventLog, source, logger: deps.logger }),
  );
}

async function openListeners(
  deps: Deps,
  certificate: OwnCertificate,
  stack: AsyncDisposableStack,
): Promise<{ internal: RpcServer<Caller>; outer: RpcServer<Caller> }> {
  const { authorities, clock, clusterName, config, logger } = deps;
  const identify = createIdentifier({ clusterName, clock, trust: () => authorities.trust() });
  const onRefused = createRefusalRecorder(deps);
  const shared = { tls: certificate.tls(), identify, logger, onRefused };
  const internal = stack.use(
    await createRpcServer({
      ...shared,
      ...splitAddress(config.listen),
      services: bindInternalServices(deps),
    }),
  );
  const publicOptions = {
    ...splitAddress(config.public_listen),
    proxyHeader: true,
    // People read why: a certificate that has expired is not a service that is away.
    answerStrangers: true,
  };
  const outer = stack.use(
    await createRpcServer({ ...shared, ...publicOptions, services: bindPublicServices(deps) }),
  );
  certificate.onChange((tls) => {
    internal.replaceTls(tls);
    outer.replaceTls(tls);
  });
  sendElsewhere(deps, internal, stack);
  return { internal, outer };
}

const sendEveryMs = 5_000;

/** Without its database this replica has no news for the services that are connected here: another one may have it. */
function sendElsewhere(
  { hub }: Pick<Deps, 'hub'>,
  server: Pick<RpcServer<Caller>, 'closeConnections'>,
  stack: AsyncDisposableStack,
): void {
  const timer = setInterval(() => {
    if (!hub.isHealthy()) server.closeConnections(() => true);
  }, sendEveryMs);
  stack.defer(() => clearInterval(timer));
}

/** What `/readyz` and `/metrics` look at. */
interface Observed {
  readonly certificate: OwnCertificate;
  readonly relay: AuditRelay | undefined;
  readonly jobs: Jobs;
  readonly state: { readonly isDraining: boolean };
}

function serveHealth(port: PrivatePort, deps: Deps, parts: Observed): void {
  const metrics = createMetrics();
  metrics.gauge('gatehouse.database.up', 'The database answers.', () =>
    deps.hub.isHealthy() ? 1 : 0,
  );
  metrics.gauge('gatehouse.audit.behind', 'Audit events wait for the event log.', () =>
    parts.relay?.isBehind() === true ? 1 : 0,
  );
  metrics.gauge('gatehouse.watch.position', 'Last change committed.', () => deps.hub.lastId());
  port.serve({
    readiness: () => readReadiness(deps, parts),
    metrics: async () => metrics.render(),
  });
}

function readReadiness(deps: Deps, parts: Observed): Readiness {
  const reasons = [
    ...(parts.state.isDraining ? ['draining'] : []),
    ...(deps.hub.isHealthy() ? [] : ['no_database']),
    ...(parts.certificate.isExpired() ? ['certificate_expired'] : []),
  ];
  const degraded = [
    ...(parts.relay?.isBehind() === true ? ['kafka'] : []),
    ...(parts.jobs.hasUnreadableLock() ? ['locks'] : []),
  ];
  return reasons.length === 0
    ? { status: 'ready', degraded }
    : { status: 'not_ready', reasons, degraded };
}

function describeService(
  deps: Deps,
  parts: {
    address: string;
    publicAddress: string;
    metricsUrl: string;
    relay: AuditRelay | undefined;
    resources: AsyncDisposableStack;
  },
): AuthService {
  const { address, publicAddress, metricsUrl, relay, resources } = parts;
  return {
    replicaId: deps.replicaId,
    address,
    publicAddress,
    metricsUrl,
    get caPin() {
      return caPin(deps.authorities.tlsAuthority('host_tls').certificate);
    },
    get caPins() {
      return deps.authorities.trust().hostTlsCa.map(caPin);
    },
    trust: () => deps.authorities.trust().bundle,
    createFirstAdminInvite: async (options = {}) =>
      encodeFirstInvite(await createFirstInvite(deps, options.logins ?? [])),
    async createAgentToken(request = {}) {
      const whole = { ttlMs: undefined, labels: {}, names: [], group: '', ...request };
      return (await createJoinToken(deps, whole, systemActor)).token;
    },
    flushAudit: async () => relay?.flush(),
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  };
}

function encodeFirstInvite(
  link: Awaited<ReturnType<typeof createFirstInvite>>,
): FirstInvite | undefined {
  return link === undefined
    ? undefined
    : { token: link.token, inviteUrl: link.url, expiresAt: link.expiresAt };
}

function formatAddress({ address }: Pick<RpcServer, 'address'>): string {
  return address.family === 'IPv6'
    ? `[${address.address}]:${address.port}`
    : `${address.address}:${address.port}`;
}
