/** A running auth-service with everything around it that tests need: database, proxy hop, people, services, agents. */
import { createHash, createPrivateKey, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  computeEnrollmentMac,
  derToPem,
  generateKeyPair,
  signSsh,
  sshPublicKeyFromSpki,
  type ServiceKind,
} from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { decodeAuditRecord, topics, type AuditEvent } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { encodeProxyHeader } from '@gatehouse/kit/net';
import { createCoordination, createDatabase } from '@gatehouse/kit/postgres';
import { createRpcConnection, type RpcClient, type RpcConnection } from '@gatehouse/kit/rpc';
import {
  createMemoryEventLog,
  createTestDatabase,
  MemoryBroker,
  startTestPostgres,
  type TestPostgres,
} from '@gatehouse/kit/testing';
import { AdministrationServiceDefinition } from '@gatehouse/proto/auth/v1/administration_service';
import { ClusterServiceDefinition } from '@gatehouse/proto/auth/v1/cluster_service';
import { CredentialServiceDefinition } from '@gatehouse/proto/auth/v1/credential_service';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import { LoginServiceDefinition } from '@gatehouse/proto/auth/v1/login_service';
import { URI } from 'otpauth';
import pg from 'pg';
import { afterAll, expect } from 'vitest';

import { authConfigSchema, type AuthConfigInput } from '../src/config.js';
import { createAuthService, type AuthOverrides, type AuthService } from '../src/service.js';
import type { Db } from '../src/store/store.js';
import type { Tables } from '../src/store/tables.js';

const clusterName = 'test';

/**
 * A clock that tests move; monotonic time is real. It begins 40 min ago, because Node's TLS reads the machine's clock:
 * certificates of at least an hour stay valid there while a test moves on by up to 40 min.
 */
export class TestClock implements Clock {
  offsetMs = -40 * 60_000;
  now(): number {
    return Date.now() + this.offsetMs;
  }
  monotonic(): number {
    return performance.now();
  }
  advance(ms: number): void {
    this.offsetMs += ms;
  }
}

export type Engine = 'pglite' | 'postgres';
export const engines: readonly Engine[] = ['pglite', 'postgres'];

/** A database of its own; what services need to open it again. */
export interface TestStore extends AsyncDisposable {
  readonly database: Db;
  /** Overrides for a service on it: on PGlite all share one coordination, as in one process. */
  readonly overrides: Partial<AuthOverrides>;
  readonly config: AuthConfigInput['database'];
}

export async function createTestStore(engine: Engine): Promise<TestStore> {
  await using stack = new AsyncDisposableStack();
  const logger = createLogger({ name: 'test', level: 'silent' });
  if (engine === 'pglite') {
    const { database } = stack.use(await createTestDatabase<Tables>());
    const coordination = stack.use(createCoordination<Tables>({ database, logger }));
    const owned = stack.move();
    return {
      database,
      overrides: { database, coordination },
      config: {},
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  }
  const url = await createTestPostgresDatabase();
  const database = createDatabase<Tables>({ url });
  stack.defer(async () => database.destroy());
  const owned = stack.move();
  return {
    database,
    overrides: {},
    config: { url },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

let server: Promise<TestPostgres> | undefined;
let databaseCount = 0;
afterAll(async () => (await server)?.[Symbol.asyncDispose]());

/** One server per test file, a database of its own per call. */
async function createTestPostgresDatabase(): Promise<string> {
  server ??= startTestPostgres();
  const { url } = await server;
  databaseCount += 1;
  const name = `test_${databaseCount}`;
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  return url.replace('@/postgres?', `@/${name}?`);
}

export interface TestFiles extends Disposable {
  readonly kek: string;
  readonly joinSecrets: { readonly proxy: string; readonly tunnel: string; readonly audit: string };
  readonly secrets: Readonly<Record<string, string>>;
  newKek(): string;
}

export function createTestFiles(): TestFiles {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-auth-'));
  let count = 0;
  const write = (text: string) => {
    count += 1;
    const path = join(dir, `secret-${count}`);
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
    return path;
  };
  const newKek = () => write(randomBytes(32).toString('base64'));
  const secrets = {
    proxy: randomBytes(32).toString('hex'),
    tunnel: randomBytes(32).toString('hex'),
    audit: randomBytes(32).toString('hex'),
  };
  const joinSecrets = {
    proxy: write(secrets.proxy),
    tunnel: write(secrets.tunnel),
    audit: write(secrets.audit),
  };
  return {
    kek: newKek(),
    joinSecrets,
    secrets,
    newKek,
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

export interface TestCluster extends AsyncDisposable {
  readonly service: AuthService;
  readonly clock: TestClock;
  readonly store: TestStore;
  readonly files: TestFiles;
  readonly broker: MemoryBroker;
  /** Lines that the service logged. */
  readonly logLines: string[];
  /** Events so far, of a type. */
  events(type?: string): Promise<AuditEvent[]>;
  /** A connection to the public side from an address. */
  publicConnection(options?: {
    address?: string;
    key?: string;
    certificate?: Buffer;
  }): Promise<RpcConnection>;
  person(identity?: Keys, address?: string): Promise<PersonClients>;
  /** A service with its certificate. */
  enroll(kind: Exclude<ServiceKind, 'auth'>): Promise<EnrolledService>;
}

export interface EnrolledService {
  readonly id: string;
  readonly connection: RpcConnection;
  readonly cluster: RpcClient<typeof ClusterServiceDefinition>;
  readonly credentials: RpcClient<typeof CredentialServiceDefinition>;
}

function personClients(connection: RpcConnection): PersonClients {
  return {
    login: connection.client(LoginServiceDefinition),
    admin: connection.client(AdministrationServiceDefinition),
    enrollment: connection.client(EnrollmentServiceDefinition),
    connection,
  };
}
export interface PersonClients {
  readonly login: RpcClient<typeof LoginServiceDefinition>;
  readonly admin: RpcClient<typeof AdministrationServiceDefinition>;
  readonly enrollment: RpcClient<typeof EnrollmentServiceDefinition>;
  readonly connection: RpcConnection;
}

export interface Keys {
  readonly privateKeyPem: string;
  readonly certificate: Buffer;
}

export interface StartOptions {
  readonly store: TestStore;
  readonly files?: TestFiles;
  readonly clock?: TestClock;
  readonly config?: Partial<AuthConfigInput>;
  readonly broker?: MemoryBroker;
}

export function testConfig(
  store: TestStore,
  files: TestFiles,
  config: Partial<AuthConfigInput> = {},
) {
  return authConfigSchema.parse({
    cluster_name: clusterName,
    listen: '127.0.0.1:0',
    public_listen: '127.0.0.1:0',
    metrics_listen: '127.0.0.1:0',
    public_addr: 'localhost:8443',
    kek_file: files.kek,
    join_secret_files: files.joinSecrets,
    database: store.config,
    ...config,
  });
}

export async function startCluster(options: StartOptions): Promise<TestCluster> {
  const stack = new AsyncDisposableStack();
  const { store } = options;
  const files = options.files ?? stack.use(createTestFiles());
  const clock = options.clock ?? new TestClock();
  const broker = options.broker ?? new MemoryBroker();
  const logLines: string[] = [];
  const logger = createLogger({
    name: 'auth',
    level: 'debug',
    destination: { write: (line) => void logLines.push(line) },
  });
  const service = stack.use(
    await createAuthService(testConfig(store, files, options.config), {
      ...store.overrides,
      clock,
      logger,
      eventLog: createMemoryEventLog(broker),
    }),
  );
  const relays = new Map<string, string>();
  const publicAddressFrom = async (address: string) => {
    const known = relays.get(address);
    if (known !== undefined) return known;
    const relay = stack.use(await startProxyHop(service.publicAddress, address));
    relays.set(address, relay.address);
    return relay.address;
  };
  const publicConnection: TestCluster['publicConnection'] = async (from = {}) => {
    const connection = createRpcConnection({
      address: await publicAddressFrom(from.address ?? '192.0.2.1'),
      tls: {
        serverCa: caPem(service),
        ...(from.key === undefined ? {} : { key: from.key }),
        ...(from.certificate === undefined
          ? {}
          : { certificate: derToPem(from.certificate, 'CERTIFICATE') }),
      },
      serverName: `auth.${clusterName}.gatehouse.internal`,
      verifyServer: () => undefined,
    });
    stack.use(connection);
    return connection;
  };
  return {
    service,
    clock,
    store,
    files,
    broker,
    logLines,
    publicConnection,
    async events(type) {
      await service.flushAudit();
      const all = broker.records(topics.audit).map((record) => decodeAuditRecord(record));
      return type === undefined ? all : all.filter((event) => event.type === type);
    },
    async person(identity, address) {
      const keys =
        identity === undefined
          ? {}
          : { key: identity.privateKeyPem, certificate: identity.certificate };
      return personClients(
        await publicConnection({ ...keys, ...(address === undefined ? {} : { address }) }),
      );
    },
    enroll: async (kind) => enrollTestService({ service, files, stack }, kind),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function caPem(service: AuthService): string {
  return service
    .trust()
    .hostTlsCa.map((der) => derToPem(der, 'CERTIFICATE'))
    .join('');
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
      encodeProxyHeader({
        source: { address: clientIp, port: 40_000 + ((client.remotePort ?? 0) % 20_000) },
        proxyId: createId('srv'),
      }),
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

export interface EnrollRequest {
  readonly kind: string;
  readonly replicaId: string;
  readonly publicKey: Buffer;
  readonly dnsNames: string[];
  readonly nonce: Buffer;
}

export function enrollmentMac(secret: string, request: EnrollRequest): Buffer {
  const { kind, replicaId, publicKey, dnsNames, nonce } = request;
  const texts = [kind, replicaId].map((text) => Buffer.from(text));
  const parts = [...texts, publicKey, ...dnsNames.map((name) => Buffer.from(name)), nonce];
  return computeEnrollmentMac(Buffer.from(secret), 'gatehouse-enroll-request-v1', parts);
}

export function internalConnection(service: AuthService, keys?: Keys): RpcConnection {
  return createRpcConnection({
    address: service.address,
    tls: {
      serverCa: caPem(service),
      ...(keys === undefined
        ? {}
        : { key: keys.privateKeyPem, certificate: derToPem(keys.certificate, 'CERTIFICATE') }),
    },
    serverName: `auth.${clusterName}.gatehouse.internal`,
    verifyServer: () => undefined,
  });
}

async function enrollTestService(
  on: { service: AuthService; files: TestFiles; stack: AsyncDisposableStack },
  kind: Exclude<ServiceKind, 'auth'>,
): Promise<EnrolledService> {
  const { service, files, stack } = on;
  const keys = generateKeyPair('p256');
  const id = createId('srv');
  const request = {
    kind,
    replicaId: id,
    publicKey: keys.spki,
    dnsNames: ['localhost'],
    nonce: randomBytes(32),
  };
  using anonymous = internalConnection(service);
  const client = anonymous.client(EnrollmentServiceDefinition);
  const reply = await client.enrollService({
    ...request,
    mac: enrollmentMac(files.secrets[kind] ?? '', request),
  });
  const connection = stack.use(
    internalConnection(service, {
      privateKeyPem: keys.privateKeyPem,
      certificate: reply.certificate,
    }),
  );
  return {
    id,
    connection,
    cluster: connection.client(ClusterServiceDefinition),
    credentials: connection.client(CredentialServiceDefinition),
  };
}

/** A code of an authenticator at a time. */
export function otpOf(totpUri: string, nowMs: number): string {
  const totp = URI.parse(totpUri);
  if (!('period' in totp)) throw new Error('not a TOTP URI');
  return totp.generate({ timestamp: nowMs });
}

export interface TestPerson {
  readonly name: string;
  readonly password: string;
  readonly totpUri: string;
}

export interface LoggedIn extends PersonClients {
  readonly keys: Keys & { readonly spki: Buffer; readonly sshPublicKey: Buffer };
  readonly sshCertificate: Buffer;
  readonly loginId: string;
  readonly validUntilMs: number;
  readonly issued: IssuedMessage;
}

type IssuedMessage = NonNullable<Awaited<ReturnType<PersonClients['login']['login']>>['issued']>;

export const password = 'correct horse battery staple';

/** Makes the first administrator, `ada`. */
export async function createAdministrator(cluster: TestCluster, name = 'ada'): Promise<TestPerson> {
  const invite = await cluster.service.createFirstAdminInvite({ logins: ['starter'] });
  if (invite === undefined) throw new Error('there is an administrator already');
  return acceptInvite(cluster, { token: invite.token, name });
}

export async function acceptInvite(
  cluster: TestCluster,
  invite: { token: string; name: string; password?: string },
): Promise<TestPerson> {
  const { login } = await cluster.person();
  const chosen = invite.password ?? password;
  const accepted = await login.acceptInvite({
    token: invite.token,
    user: invite.name,
    password: chosen,
  });
  return { name: accepted.user, password: chosen, totpUri: accepted.totpUri };
}

/** Logs in with fresh keys. Each call takes a time step, so the clock moves on by one first. */
export async function logIn(
  cluster: TestCluster,
  person: TestPerson,
  options: { ttlSeconds?: number; address?: string } = {},
): Promise<LoggedIn> {
  cluster.clock.advance(30_000);
  const keyPair = generateKeyPair('p256');
  const sshPublicKey = sshPublicKeyFromSpki(keyPair.spki);
  const { login } = await cluster.person(undefined, options.address);
  const { issued } = await login.login({
    user: person.name,
    password: person.password,
    otp: person.totpUri === '' ? '' : otpOf(person.totpUri, cluster.clock.now()),
    sshPublicKey,
    tlsPublicKey: keyPair.spki,
    ...(options.ttlSeconds === undefined
      ? {}
      : { ttl: { seconds: BigInt(options.ttlSeconds), nanos: 0 } }),
  });
  if (issued?.self === undefined || issued.validUntil === undefined)
    throw new Error('nothing was issued');
  const keys = {
    privateKeyPem: keyPair.privateKeyPem,
    certificate: issued.tlsCertificate,
    spki: keyPair.spki,
    sshPublicKey,
  };
  return {
    ...(await cluster.person(keys, options.address)),
    keys,
    sshCertificate: issued.sshCertificate,
    loginId: issued.self.loginId,
    validUntilMs: issued.validUntil.getTime(),
    issued,
  };
}

/** Invites somebody and sets them up. */
export async function addPerson(
  cluster: TestCluster,
  admin: LoggedIn,
  person: { name: string; roles: string[]; traits?: Record<string, string> },
): Promise<TestPerson> {
  const link = await admin.admin.createUserInvite({
    user: person.name,
    roles: person.roles,
    traits: person.traits ?? {},
  });
  return acceptInvite(cluster, { token: link.token, name: '' });
}

export async function applyYamlLike(admin: LoggedIn, document: object): Promise<void> {
  await admin.admin.applyDocument({ documentJson: JSON.stringify(document) });
}

export const devRole = {
  kind: 'role',
  version: 'v1',
  metadata: { name: 'dev' },
  spec: {
    options: { max_session_ttl: '8h' },
    allow: { logins: ['deploy'], node_labels: { env: 'staging' } },
  },
};

/** What a tunnel-service tells of an agent's targets. */
export async function registerTargets(
  { cluster }: Pick<EnrolledService, 'cluster'>,
  agent: Awaited<ReturnType<typeof joinAgent>>,
  fields: Omit<Parameters<typeof cluster.registerAgent>[0], 'agentId'>,
) {
  return cluster.registerAgent({
    agentId: agent.agentId,
    certificateFingerprint: createHash('sha256').update(agent.keys.certificate).digest(),
    version: '0.1.0',
    clientAddress: '192.0.2.9:1234',
    ...fields,
  });
}

/** What most tests begin with: a cluster with its first administrator and the role `dev`. It ends with `stack`. */
export async function startWithAdministrator(
  engine: Engine,
  stack: AsyncDisposableStack,
): Promise<{ cluster: TestCluster; ada: LoggedIn }> {
  const store = stack.use(await createTestStore(engine));
  const cluster = stack.use(await startCluster({ store }));
  const ada = await logIn(cluster, await createAdministrator(cluster));
  await applyYamlLike(ada, devRole);
  return { cluster, ada };
}

/** Joins an agent by a token. */
export async function joinAgent(
  cluster: TestCluster,
  options: { name: string; token?: string; group?: string },
): Promise<{ agentId: string; group: string; keys: Keys & { spki: Buffer } }> {
  const token = options.token ?? (await cluster.service.createAgentToken());
  const { privateKeyPem, spki } = generateKeyPair('p256');
  const { enrollment } = await cluster.person();
  const reply = await enrollment.enrollAgent({
    token,
    name: options.name,
    publicKey: spki,
    group: options.group ?? '',
  });
  return {
    agentId: reply.agentId,
    group: reply.agentGroup,
    keys: { privateKeyPem, certificate: reply.certificate, spki },
  };
}

/** The rejection of a call, checked for its kind. */
export async function refusal(
  call: Promise<unknown>,
): Promise<{ kind: string; code: string; message: string }> {
  const thrown: unknown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown, 'expected a refusal').toMatchObject({ kind: expect.any(String) as string });
  const { kind, code, publicMessage } = thrown as {
    kind: string;
    code: string;
    publicMessage: string;
  };
  return { kind, code, message: publicMessage };
}

/** A person's signature over the start of an SSH session (RFC 4252 §7), as a proxy would pass it on. */
export function signSshProof(person: LoggedIn, sessionId: Buffer, user = 'deploy') {
  const algorithm = 'ecdsa-sha2-nistp256-cert-v01@openssh.com';
  const signedData = Buffer.concat([
    sshString(sessionId),
    Buffer.from([50]),
    ...[user, 'ssh-connection', 'publickey'].map((text) => sshString(Buffer.from(text))),
    Buffer.from([1]),
    sshString(Buffer.from(algorithm)),
    sshString(person.sshCertificate),
  ]);
  const signature = signSsh(createPrivateKey(person.keys.privateKeyPem), signedData);
  return { certificate: person.sshCertificate, signedData, signature };
}

function sshString(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
