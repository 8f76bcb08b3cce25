/** A running audit-service with everything around it that tests need: database, event log, authorities, proxy hop, people. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { derToPem, type Identity } from '@gatehouse/identity';
import {
  createTestAuthorities,
  issueTestAgent,
  issueTestService,
  issueTestUser,
  type TestAuthorities,
} from '@gatehouse/identity/testing';
import { systemClock } from '@gatehouse/kit/clock';
import { encodeAuditRecord, topics, type AuditEvent } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { encodeProxyHeader } from '@gatehouse/kit/net';
import { createDatabase } from '@gatehouse/kit/postgres';
import { createRpcConnection } from '@gatehouse/kit/rpc';
import {
  createMemoryEventLog,
  createTestDatabase,
  MemoryBroker,
  startTestPostgres,
  makeEvent as makeTestEvent,
} from '@gatehouse/kit/testing';
import { createIdentifier } from '@gatehouse/membership';
import {
  builtinRoles,
  findUnreadableLock,
  parseLock,
  parseRole,
  type Lock,
} from '@gatehouse/policy';
import {
  AuditServiceDefinition,
  type AuditServiceClient,
  type EventFilter,
} from '@gatehouse/proto/audit/v1/audit_service';
import { afterAll, beforeAll } from 'vitest';

import { auditConfigSchema } from '../src/config.js';
import type { Policy } from '../src/deps.js';
import { createAuditService, type AuditOverrides, type AuditService } from '../src/service.js';
import type { Db, Tables } from '../src/store/tables.js';

export const cluster = 'test';

/** What a test changes of the cluster's policy. */
export interface TestPolicy {
  isReady: boolean;
  /** This service's certificate. */
  isExpired: boolean;
  readonly locks: Lock[];
  readonly endedLogins: Set<string>;
  /** When a person's account was made, ms; else long ago. */
  readonly createdAt: Map<string, number>;
}

export interface TestDatabasePlace extends AsyncDisposable {
  readonly database: Db;
  readonly config: { socket?: string; url?: string };
}

export async function openPlace(engine: 'PGlite' | 'PostgreSQL'): Promise<TestDatabasePlace> {
  if (engine === 'PGlite') {
    const test = await createTestDatabase<Tables>();
    return {
      database: test.database,
      config: { socket: test.socketPath },
      [Symbol.asyncDispose]: async () => test[Symbol.asyncDispose](),
    };
  }
  const server = await startTestPostgres();
  const database = createDatabase<Tables>({ url: server.url });
  return {
    database,
    config: { url: server.url },
    [Symbol.asyncDispose]: async () => {
      await database.destroy();
      await server[Symbol.asyncDispose]();
    },
  };
}

export interface TestAudit extends AsyncDisposable {
  readonly service: AuditService;
  readonly broker: MemoryBroker;
  readonly policy: TestPolicy;
  readonly recordingsDir: string;
  readonly authorities: TestAuthorities;
  /** A client of a person with these roles. */
  person(
    name: string,
    roles: readonly string[],
    options?: Partial<Identity> & { address?: string },
  ): Promise<AuditClient>;
  /** A client with an agent's, a service's or no certificate. */
  stranger(kind: 'agent' | 'service' | 'anonymous'): Promise<AuditClient>;
  publish(events: readonly AuditEvent[]): Promise<void>;
  /** Another replica on the same database and log, of another release where it knows other types of events. */
  addReplica(release?: Partial<Pick<AuditOverrides, 'eventTypes'>>): Promise<TestAudit>;
}

export type AuditClient = AuditServiceClient;

function clientOf(connection: ReturnType<typeof createRpcConnection>): AuditServiceClient {
  return connection.client(AuditServiceDefinition);
}

interface Shared {
  readonly place: TestDatabasePlace;
  readonly broker: MemoryBroker;
  readonly authorities: TestAuthorities;
  readonly policy: TestPolicy;
  readonly folder: string;
}

/** @param prepare gets the directory of recordings before the service starts */
export async function startAudit(
  place: TestDatabasePlace,
  prepare?: (recordingsDir: string) => Promise<void>,
): Promise<TestAudit> {
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-audit-'));
  await prepare?.(join(folder, 'recordings'));
  writeFileSync(join(folder, 'join'), randomBytes(32).toString('hex'));
  const policy: TestPolicy = {
    isReady: true,
    isExpired: false,
    locks: [],
    endedLogins: new Set(),
    createdAt: new Map(),
  };
  const shared: Shared = {
    place,
    broker: new MemoryBroker(),
    authorities: await createTestAuthorities(cluster),
    policy,
    folder,
  };
  const audit = await startReplica(shared);
  return {
    ...audit,
    [Symbol.asyncDispose]: async () => {
      await audit[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface AuditScene {
  readonly place: TestDatabasePlace;
  readonly audit: TestAudit;
  /** An auditor. */
  readonly carol: AuditClient;
}

/** For a describe block: a database, audit-service on it, and carol; there once its tests run. */
export function useAudit(engine: 'PGlite' | 'PostgreSQL'): AuditScene {
  let scene: AuditScene | undefined;
  beforeAll(async () => {
    const place = await openPlace(engine);
    const audit = await startAudit(place);
    scene = { place, audit, carol: await audit.person('carol', ['auditor']) };
  }, 180_000);
  afterAll(async () => {
    await scene?.audit[Symbol.asyncDispose]();
    await scene?.place[Symbol.asyncDispose]();
  });
  const get = () => {
    if (scene === undefined) throw new Error('only within a test');
    return scene;
  };
  return {
    get place() {
      return get().place;
    },
    get audit() {
      return get().audit;
    },
    get carol() {
      return get().carol;
    },
  };
}

async function startReplica(
  shared: Shared,
  release: Parameters<TestAudit['addReplica']>[0] = {},
): Promise<TestAudit> {
  const { authorities, broker, folder, place } = shared;
  const stack = new AsyncDisposableStack();
  const eventLog = stack.use(createMemoryEventLog(broker));
  const config = auditConfigSchema.parse({
    cluster_name: cluster,
    public_listen: '127.0.0.1:0',
    metrics_listen: '127.0.0.1:0',
    auth: { address: '127.0.0.1:1', join_secret_file: join(folder, 'join') },
    state_dir: folder,
    database: place.config,
    recordings: { dir: join(folder, 'recordings') },
  });
  const logger = createLogger({ name: 'audit', level: 'silent' });
  const own = await issueTestService(authorities, 'audit');
  const identify = createIdentifier({
    clusterName: cluster,
    clock: systemClock,
    trust: () => ({
      userTlsCa: [authorities.userTls.certificate],
      hostTlsCa: [authorities.hostTls.certificate],
    }),
  });
  const clientCa = [authorities.userTls, authorities.hostTls]
    .map(({ certificate }) => derToPem(certificate, 'CERTIFICATE'))
    .join('');
  const tls = () => ({
    key: own.privateKeyPem,
    certificate: derToPem(own.certificate, 'CERTIFICATE'),
    clientCa,
  });
  const membership = {
    replicaId: createId('srv'),
    tls,
    identify,
    isExpired: () => shared.policy.isExpired,
    onChange: () => undefined,
  };
  const service = stack.use(
    await createAuditService(config, {
      ...release,
      logger,
      eventLog,
      cluster: { membership, policy: describePolicy(shared.policy) },
    }),
  );
  const connectWith = async (
    keys: { privateKeyPem: string; certificate: Buffer } | undefined,
    address: string,
  ) => {
    const hop = stack.use(await startProxyHop(service.publicAddress, address));
    const connection = createRpcConnection({
      address: hop.address,
      tls: {
        serverCa: derToPem(authorities.hostTls.certificate, 'CERTIFICATE'),
        ...(keys === undefined
          ? {}
          : { key: keys.privateKeyPem, certificate: derToPem(keys.certificate, 'CERTIFICATE') }),
      },
      serverName: `audit.${cluster}.gatehouse.internal`,
      verifyServer: () => undefined,
    });
    stack.use(connection);
    return clientOf(connection);
  };
  return {
    service,
    broker,
    policy: shared.policy,
    recordingsDir: join(folder, 'recordings'),
    authorities,
    person: async (name, roles, { address = '192.0.2.1', ...identity } = {}) => {
      const user = await issueTestUser(authorities, { user: name, roles: [...roles], ...identity });
      return connectWith(
        { privateKeyPem: user.privateKeyPem, certificate: user.tlsCertificate },
        address,
      );
    },
    stranger: async (kind) => {
      if (kind === 'anonymous') return connectWith(undefined, '192.0.2.1');
      const part =
        kind === 'agent'
          ? await issueTestAgent(authorities)
          : await issueTestService(authorities, 'proxy');
      return connectWith(part, '192.0.2.1');
    },
    publish: async (events) => {
      for (let at = 0; at < events.length; at += 500) {
        await eventLog.publish(
          topics.audit,
          events.slice(at, at + 500).map((event) => encodeAuditRecord(event, 'test')),
        );
      }
    },
    addReplica: async (other) => startReplica(shared, other),
    [Symbol.asyncDispose]: async () => stack.disposeAsync(),
  };
}

function describePolicy(policy: TestPolicy): Policy {
  const roles = builtinRoles().map((document) => parseRole(document));
  return {
    isReady: () => policy.isReady,
    isStale: () => false,
    clockSkewMs: () => 0,
    hasUnreadableLock: () => findUnreadableLock(policy.locks) !== undefined,
    user: (name) => ({
      name,
      roles: [],
      traits: {},
      validAfterMs: 0,
      createdAtMs: policy.createdAt.get(name) ?? 0,
    }),
    rolesOf: (identity) => roles.filter((role) => identity.roles.includes(role.name)),
    refusalOf: (identity) => (policy.endedLogins.has(identity.loginId) ? 'logged_out' : undefined),
    locks: () => policy.locks,
  };
}

export function lockUser(user: string, message: string): Lock {
  return parseLock({
    kind: 'lock',
    version: 'v1',
    metadata: { name: `lck-${user}` },
    spec: { target: { user }, message },
  });
}

/** What a proxy's port does with a client: a PROXY v2 header, then the client's bytes. */
async function startProxyHop(
  to: string,
  clientIp: string,
): Promise<AsyncDisposable & { address: string }> {
  const [host = '', port = ''] = to.split(':');
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.write(
      encodeProxyHeader({ source: { address: clientIp, port: 40_000 }, proxyId: createId('srv') }),
    );
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: ownPort } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${ownPort}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Takes a table away while `work` runs: the store refuses, and the batches are read again and again. */
export async function withoutTable(
  { database }: TestDatabasePlace,
  table: keyof Tables,
  work: () => Promise<void>,
): Promise<void> {
  await database.schema.alterTable(table).renameTo(`${table}_away`).execute();
  try {
    await work();
  } finally {
    await database.schema.alterTable(`${table}_away`).renameTo(table).execute();
  }
}

let eventMs = Date.parse('2026-11-26T00:00:00Z');

/** An event, each a millisecond after the one before. */
export function makeEvent(fields: Partial<AuditEvent> = {}): AuditEvent {
  eventMs += 1;
  return makeTestEvent({ time: new Date(eventMs).toISOString(), cluster, ...fields });
}

export function filterOf(fields: Partial<EventFilter> = {}): EventFilter {
  return {
    type: '',
    user: '',
    target: '',
    sessionId: '',
    outcome: '',
    from: undefined,
    to: undefined,
    text: '',
    ...fields,
  };
}
