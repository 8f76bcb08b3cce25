/**
 * A small cluster around a real agent: real tunnel-services, a port that passes connections on by server name as the
 * proxies do, and a working fake of auth-service with real certificates.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createAgent, type Agent, type AgentConfigInput, type AgentDeps } from '@gatehouse/agent';
import {
  caPin,
  derToPem,
  formatSshPublicKey,
  issueTlsCertificate,
  signGrant,
  type Grant,
} from '@gatehouse/identity';
import {
  createTestAuthorities,
  issueTestService,
  type TestAuthorities,
  type TestPart,
} from '@gatehouse/identity/testing';
import { systemClock } from '@gatehouse/kit/clock';
import { parseConfig } from '@gatehouse/kit/config';
import { GatehouseError } from '@gatehouse/kit/errors';
import { createId } from '@gatehouse/kit/ids';
import { createLogger, type Logger } from '@gatehouse/kit/log';
import { encodeProxyHeader, joinStreams } from '@gatehouse/kit/net';
import {
  bindService,
  createRpcConnection,
  createRpcServer,
  type RpcConnection,
} from '@gatehouse/kit/rpc';
import { createIdentifier, type Caller, type Membership } from '@gatehouse/membership';
import { watchPolicy } from '@gatehouse/membership';
import { AdministrationServiceDefinition } from '@gatehouse/proto/auth/v1/administration_service';
import {
  ClusterServiceDefinition,
  type AgentTarget,
  type RegisterAgentRequest,
  type WatchResponse,
} from '@gatehouse/proto/auth/v1/cluster_service';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import type { TrustBundle } from '@gatehouse/proto/auth/v1/trust';
import { createAgentDirectory, type AgentDirectory } from '@gatehouse/tunnel';
import {
  createTunnelService,
  tunnelConfigSchema,
  type TunnelDeps,
  type TunnelService,
} from '@gatehouse/tunnel-service';
import { onTestFinished } from 'vitest';

const cluster = 'test';
const logger: Logger = createLogger({
  name: 'test',
  level: process.env['TEST_LOG'] === undefined ? 'silent' : 'debug',
});

function pem(der: Buffer): string {
  return derToPem(der, 'CERTIFICATE');
}

function trustOf(authorities: TestAuthorities): TrustBundle {
  return {
    clusterName: cluster,
    userTlsCa: [authorities.userTls.certificate],
    hostTlsCa: [authorities.hostTls.certificate],
    userSsh: [formatSshPublicKey(authorities.userSsh.publicKey)],
    targetSsh: [formatSshPublicKey(authorities.targetSsh.publicKey)],
    hostSsh: [formatSshPublicKey(authorities.hostSsh.publicKey)],
  };
}

/** A working fake of auth-service: tokens, certificates, registration, presence, locks. */
export interface FakeAuth extends AsyncDisposable {
  readonly address: string;
  readonly publicAddress: string;
  readonly registrations: RegisterAgentRequest[];
  /** Agents present, by replica, as last reported. */
  readonly presence: Map<string, readonly string[]>;
  addToken(): string;
  /** Targets that documents give to agents. */
  readonly documents: AgentTarget[];
  addDocument(target: AgentTarget): void;
  setLock(name: string, target: Record<string, string> | undefined): void;
  /** How old agents' certificates are when they are issued. */
  issueAgeMs: number;
  renewals: number;
  /** What it says to whom asks whom to trust. */
  trust: TrustBundle;
}

async function startFakeAuth(authorities: TestAuthorities): Promise<FakeAuth> {
  const own = await issueTestService(authorities, 'auth');
  const tokens = new Set<string>();
  const locks = new Map<string, string>();
  const watchers = new Set<(event: WatchResponse) => void>();
  const trust = trustOf(authorities);
  let id = 1n;

  const certify = async (agentId: string, publicKey: Buffer) => {
    const nowMs = Date.now() - fake.issueAgeMs;
    const notAfterMs = nowMs + 30 * 86_400_000;
    const certificate = await issueTlsCertificate({
      authority: authorities.hostTls,
      publicKeySpki: publicKey,
      part: { cluster, type: 'agent', id: agentId },
      notBeforeMs: nowMs - 120_000,
      notAfterMs,
      usage: 'both',
    });
    return { certificate, trust, validUntil: new Date(notAfterMs) };
  };

  const enrollment = bindService<Caller, typeof EnrollmentServiceDefinition>(
    EnrollmentServiceDefinition,
    {
      enrollService: {
        callers: ['anonymous'],
        handle: async () => Promise.reject(new Error('no')),
      },
      enrollAgent: {
        callers: ['anonymous'],
        async handle({ token, publicKey }) {
          if (!tokens.delete(token))
            throw new GatehouseError('permission_denied', 'JOIN_TOKEN_INVALID', 'no', {
              publicMessage: 'join token is not valid',
            });
          const agentId = createId('agt');
          return { agentId, agentGroup: agentId, ...(await certify(agentId, publicKey)) };
        },
      },
      renewAgent: {
        callers: ['agent'],
        async handle({ publicKey }, { caller }) {
          if (caller.type !== 'agent') throw new Error('no agent');
          fake.renewals += 1;
          fake.issueAgeMs = 0;
          return certify(caller.id, publicKey);
        },
      },
      issueNodeHostCertificate: {
        callers: ['agent'],
        handle: async () => Promise.reject(new Error('not here')),
      },
      issueDatabaseCertificate: {
        callers: ['agent'],
        handle: async () => Promise.reject(new Error('not here')),
      },
    },
  );

  const { getTrust } = AdministrationServiceDefinition.methods;
  const definition = { ...AdministrationServiceDefinition, methods: { getTrust } };
  const administration = bindService<Caller, typeof definition>(definition, {
    getTrust: {
      callers: ['agent'],
      handle: async () => Promise.resolve({ trust: fake.trust, dbClientCa: [] }),
    },
  });

  const clusterService = bindService<Caller, typeof ClusterServiceDefinition>(
    ClusterServiceDefinition,
    {
      watch: { callers: ['service'], handle: (_request, { signal }) => watchFor(signal) },
      reportSessions: { callers: ['service'], handle: async () => ({}) },
      findLiveSessions: { callers: ['service'], handle: async () => ({}) },
      registerAgent: {
        callers: ['service/tunnel'],
        async handle(request) {
          fake.registrations.push(request);
          const dynamicTargets = fake.documents;
          return { agentName: 'a1', group: request.agentId, dynamicTargets };
        },
      },
      reportAgents: {
        callers: ['service/tunnel'],
        async handle({ replicaId, agentIds }) {
          fake.presence.set(replicaId, agentIds);
          return {};
        },
      },
    },
  );

  async function* watchFor(signal: AbortSignal): AsyncGenerator<WatchResponse> {
    const queue: WatchResponse[] = [
      { event: { $case: 'trust', value: trust } },
      { event: { $case: 'snapshotBegin', value: {} } },
      ...[...locks].map(([name, documentJson]): WatchResponse => ({
        event: { $case: 'change', value: { id: 0n, kind: 'lock', name, documentJson } },
      })),
      { event: { $case: 'snapshotEnd', value: { id } } },
    ];
    let wake = () => {};
    const watcher = (event: WatchResponse) => {
      queue.push(event);
      wake();
    };
    watchers.add(watcher);
    signal.addEventListener('abort', () => wake(), { once: true });
    try {
      while (!signal.aborted) {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) yield next;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      watchers.delete(watcher);
    }
  }

  const identify = createIdentifier({
    clusterName: cluster,
    clock: systemClock,
    trust: () => ({ userTlsCa: trust.userTlsCa, hostTlsCa: trust.hostTlsCa }),
  });
  const tls = {
    key: own.privateKeyPem,
    certificate: pem(own.certificate),
    clientCa: pem(authorities.hostTls.certificate) + pem(authorities.userTls.certificate),
  };
  const base = { host: '127.0.0.1', port: 0, tls, identify, logger };
  const internal = await createRpcServer({ ...base, services: [clusterService] });
  const services = [enrollment, administration];
  const front = await createRpcServer({ ...base, services, proxyHeader: true });
  const fake: FakeAuth = {
    address: `127.0.0.1:${internal.address.port}`,
    publicAddress: `127.0.0.1:${front.address.port}`,
    registrations: [],
    documents: [],
    addDocument(target) {
      fake.documents.push(target);
    },
    presence: new Map(),
    issueAgeMs: 0,
    renewals: 0,
    trust,
    addToken() {
      const token = createId('tok');
      tokens.add(token);
      return token;
    },
    setLock(name, target) {
      id += 1n;
      const document = { kind: 'lock', version: 'v1', metadata: { name }, spec: { target } };
      const documentJson = target === undefined ? '' : JSON.stringify(document);
      if (target === undefined) locks.delete(name);
      else locks.set(name, documentJson);
      for (const watcher of watchers)
        watcher({ event: { $case: 'change', value: { id, kind: 'lock', name, documentJson } } });
    },
    async [Symbol.asyncDispose]() {
      await internal[Symbol.asyncDispose]();
      await front[Symbol.asyncDispose]();
    },
  };
  return fake;
}

/** The one port: passes on by server name, with a PROXY header; everything else is the web. */
interface Port {
  readonly address: string;
  /** No new connections, and those that are there are reset. */
  cut(): void;
  /** @param inARow so many connections to one replica, then as many to the next; 1 from the start */
  restore(inARow?: number): void;
  close(): Promise<void>;
}

async function openPort(routes: {
  authAddress: string;
  webPort: number;
  tunnels: () => readonly TunnelService[];
}): Promise<Port> {
  const sockets = new Set<net.Socket>();
  let isCut = false;
  let inARow = 1;
  let turn = 0;
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    if (isCut) {
      socket.resetAndDestroy();
      return;
    }
    socket.once('data', (hello: Buffer) => {
      socket.pause();
      const text = hello.toString('latin1');
      const named = /(srv_[0-9a-f]{32})\.tunnel/.exec(text)?.[1];
      const isTunnel = text.includes(`tunnel.${cluster}.gatehouse.internal`);
      const isAuth = text.includes(`auth.${cluster}.gatehouse.internal`);
      const tunnels = routes.tunnels();
      const place = Math.floor(turn / inARow) % tunnels.length;
      turn += 1;
      const tunnel =
        named === undefined ? tunnels[place] : tunnels.find(({ replicaId }) => replicaId === named);
      if (isTunnel && tunnel === undefined) {
        // unrecognized_name
        socket.end(Buffer.of(21, 3, 3, 0, 2, 2, 112));
        return;
      }
      const address = isTunnel
        ? tunnel?.publicAddress
        : isAuth
          ? routes.authAddress
          : `127.0.0.1:${routes.webPort}`;
      if (address === undefined) {
        socket.resetAndDestroy();
        return;
      }
      const back = net.connect({
        host: '127.0.0.1',
        port: Number(address.split(':')[1]),
        allowHalfOpen: true,
        noDelay: true,
      });
      if (isTunnel || isAuth)
        back.write(
          encodeProxyHeader({
            source: { address: '203.0.113.7', port: 50_000 },
            proxyId: 'srv_proxy',
          }),
        );
      back.write(hello);
      joinStreams(socket, back).catch(() => undefined);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  const reset = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    address: `127.0.0.1:${port}`,
    cut() {
      isCut = true;
      reset();
    },
    restore(count = 1) {
      inARow = count;
      turn = 0;
      isCut = false;
    },
    async close() {
      reset();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function createMembership(
  authorities: TestAuthorities,
  part: TestPart,
  authAddress: string,
  told?: TrustBundle,
): Membership {
  const trust = trustOf(authorities);
  const connect = (address: string): RpcConnection =>
    createRpcConnection({
      address,
      tls: {
        serverCa: pem(authorities.hostTls.certificate),
        key: part.privateKeyPem,
        certificate: pem(part.certificate),
      },
      serverName: 'localhost',
      verifyServer: () => undefined,
    });
  const auth = connect(authAddress);
  onTestFinished(() => auth[Symbol.dispose]());
  return {
    replicaId: part.part.type === 'service' ? part.part.id : '',
    clusterName: cluster,
    auth,
    tls: () => ({
      key: part.privateKeyPem,
      certificate: pem(part.certificate),
      clientCa: pem(authorities.hostTls.certificate),
    }),
    signer: () => part,
    trust: () => told ?? trust,
    setTrust: () => undefined,
    isExpired: () => false,
    onChange: () => undefined,
    identify: createIdentifier({
      clusterName: cluster,
      clock: systemClock,
      trust: () => ({ userTlsCa: trust.userTlsCa, hostTlsCa: trust.hostTlsCa }),
    }),
    connect: ({ address }) => connect(String(address)),
    [Symbol.asyncDispose]: async () => undefined,
  } as Membership;
}

export interface TestCluster {
  readonly authorities: TestAuthorities;
  readonly auth: FakeAuth;
  readonly port: Port;
  readonly caPin: string;
  /** A certificate as proxies have. */
  readonly proxy: TestPart;
  readonly tunnels: TunnelService[];
  /** `tells`: whom it tells agents to trust. */
  addTunnel(
    overrides?: Partial<TunnelDeps> & { tells?: TrustBundle },
    limits?: Record<string, unknown>,
  ): Promise<TunnelService>;
  dropTunnel(tunnel: TunnelService): Promise<void>;
  directory(): AgentDirectory;
  startAgent(
    config: AgentConfigInput,
    overrides?: Partial<AgentDeps> & { dataDir?: string; token?: string },
  ): Promise<Agent & { dataDir: string }>;
  /** A grant for an agent's target; fields may be given. */
  grant(agentId: string, fields?: Partial<Grant>, signer?: TestPart): Promise<string>;
}

export async function startTestCluster(replicas = 1): Promise<TestCluster> {
  const authorities = await createTestAuthorities(cluster);
  const auth = await startFakeAuth(authorities);
  onTestFinished(async () => auth[Symbol.asyncDispose]());
  const proxy = await issueTestService(authorities, 'proxy');
  const tunnels: TunnelService[] = [];
  const web = createHttpsServer(
    { key: proxy.privateKeyPem, cert: pem(proxy.certificate) },
    (request, response) => {
      const page = {
        clusterName: cluster,
        caPins: [caPin(authorities.hostTls.certificate)],
        caBundle: pem(authorities.hostTls.certificate),
        sshHostCa: [],
      };
      response.statusCode = request.url === '/.well-known/gatehouse.json' ? 200 : 404;
      response.end(JSON.stringify(page));
    },
  );
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    web.close();
    web.closeAllConnections();
  });
  const port = await openPort({
    authAddress: auth.publicAddress,
    webPort: (web.address() as net.AddressInfo).port,
    tunnels: () => tunnels,
  });
  onTestFinished(async () => port.close());

  const made: TestCluster = {
    authorities,
    auth,
    port,
    proxy,
    tunnels,
    caPin: caPin(authorities.hostTls.certificate),
    async addTunnel({ tells, ...overrides } = {}, limits = {}) {
      const part = await issueTestService(authorities, 'tunnel');
      const membership = createMembership(authorities, part, auth.address, tells);
      const policy = watchPolicy({
        auth: membership.auth,
        kinds: ['agent', 'lock', 'trust'],
        clock: systemClock,
        logger,
      });
      onTestFinished(async () => policy[Symbol.asyncDispose]());
      const config = parseConfig(tunnelConfigSchema, {
        cluster_name: cluster,
        listen: '127.0.0.1:0',
        public_listen: '127.0.0.1:0',
        metrics_listen: '127.0.0.1:0',
        auth: { address: auth.address, join_secret_file: 'unused' },
        state_dir: 'unused',
        drain_timeout: '2s',
        limits,
      });
      const tunnel = await createTunnelService(config, {
        membership,
        policy,
        logger,
        ...overrides,
      });
      tunnels.push(tunnel);
      onTestFinished(async () => made.dropTunnel(tunnel));
      return tunnel;
    },
    async dropTunnel(tunnel) {
      const index = tunnels.indexOf(tunnel);
      if (index === -1) return;
      tunnels.splice(index, 1);
      await tunnel[Symbol.asyncDispose]();
    },
    directory() {
      const membership = createMembership(authorities, proxy, auth.address);
      const directory = createAgentDirectory({
        connect: (address) => membership.connect({ address, kind: 'tunnel' }),
        proxyId: 'srv_proxy',
        logger,
      });
      directory.use(tunnels.map(({ address }) => address));
      onTestFinished(async () => directory[Symbol.asyncDispose]());
      return directory;
    },
    async startAgent(config, { dataDir = makeDir(), token, ...overrides } = {}) {
      const agent = await createAgent(
        {
          proxy: port.address,
          caPin: made.caPin,
          token: token ?? auth.addToken(),
          dataDir,
          config: { name: 'a1', ...config },
        },
        { logger, ...overrides },
      );
      onTestFinished(async () => agent[Symbol.asyncDispose]());
      return Object.assign(agent, { dataDir });
    },
    async grant(agentId, fields = {}, signer = proxy) {
      return signGrant(
        {
          v: 1,
          agent: agentId,
          session: 'ses_1',
          target: 'echo',
          protocol: 'tcp',
          principal: 'deploy',
          user: 'alice',
          mode: 'relayed',
          exp: Math.floor(Date.now() / 1000) + 30,
          jti: createId('req'),
          ...fields,
        },
        signer,
      );
    },
  };
  for (let index = 0; index < replicas; index += 1) await made.addTunnel();
  return made;
}

export function makeDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'gate-agent-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A TCP server that echoes; counts its connections. */
export async function startEcho(): Promise<{ address: string; connections: () => number }> {
  let connections = 0;
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as net.AddressInfo;
  return { address: `127.0.0.1:${port}`, connections: () => connections };
}
