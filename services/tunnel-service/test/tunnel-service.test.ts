import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';

import { computeEnrollmentMac, derToPem, issueTlsCertificate } from '@gatehouse/identity';
import {
  createTestAuthorities,
  issueTestAgent,
  issueTestService,
  issueTestUser,
  type TestAuthorities,
} from '@gatehouse/identity/testing';
import { systemClock, type Clock } from '@gatehouse/kit/clock';
import { parseConfig } from '@gatehouse/kit/config';
import { createId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { encodeProxyHeader } from '@gatehouse/kit/net';
import { bindService, createRpcConnection, createRpcServer } from '@gatehouse/kit/rpc';
import { createMemoryEventLog, MemoryBroker } from '@gatehouse/kit/testing';
import { createIdentifier, type Caller } from '@gatehouse/membership';
import {
  ClusterServiceDefinition,
  type WatchResponse,
} from '@gatehouse/proto/auth/v1/cluster_service';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import { TrustBundle } from '@gatehouse/proto/auth/v1/trust';
import { createHop, serveTunnel, tunnelAlpn, type IncomingDial } from '@gatehouse/tunnel';
import {
  createTunnelService,
  tunnelConfigSchema,
  type TunnelService,
} from '@gatehouse/tunnel-service';
import { expect, it, onTestFinished } from 'vitest';

const cluster = 'test';
const logger = createLogger({ name: 'test', level: 'silent' });
const secret = randomBytes(32).toString('hex');
const pem = (der: Buffer) => derToPem(der, 'CERTIFICATE');
const refuse = async (): Promise<never> => Promise.reject(new Error('not here'));

interface Setup {
  readonly authorities: TestAuthorities;
  readonly service: TunnelService;
  readonly broker: MemoryBroker;
  setLock(target: Record<string, string>): void;
  /** Tells of an agent's document, or without one of its deletion. */
  tellAgent(id: string, document?: { id: string; name: string; group: string }): void;
  /** Tells of a whole new view that holds these agents and nothing else. */
  tellSnapshot(agentIds: readonly string[]): void;
}

/** A tunnel-service that joined a working fake of auth-service with its join secret. */
async function start(
  overrides: Record<string, unknown> = {},
  clock: Clock = systemClock,
): Promise<Setup> {
  const authorities = await createTestAuthorities(cluster);
  const own = await issueTestService(authorities, 'auth');
  const trust: TrustBundle = {
    clusterName: cluster,
    userTlsCa: [authorities.userTls.certificate],
    hostTlsCa: [authorities.hostTls.certificate],
    userSsh: [],
    targetSsh: [],
    hostSsh: [],
  };
  const watchers = new Set<(event: WatchResponse) => void>();
  let watchedKinds: readonly string[] = [];
  const tell = (event: WatchResponse['event']) => {
    if (event?.$case === 'change' && !watchedKinds.includes(event.value.kind)) return;
    for (const watcher of watchers) watcher({ event });
  };
  const enrollment = bindService<Caller, typeof EnrollmentServiceDefinition>(
    EnrollmentServiceDefinition,
    {
      enrollService: {
        callers: ['anonymous'],
        async handle({ replicaId, publicKey, nonce }) {
          const nowMs = Date.now();
          const certificate = await issueTlsCertificate({
            authority: authorities.hostTls,
            publicKeySpki: publicKey,
            part: { cluster, type: 'service', kind: 'tunnel', id: replicaId },
            dnsNames: ['localhost'],
            notBeforeMs: nowMs - 120_000,
            notAfterMs: nowMs + 86_400_000,
            usage: 'both',
          });
          const trustEncoded = Buffer.from(TrustBundle.encode(trust).finish());
          const mac = computeEnrollmentMac(Buffer.from(secret), 'gatehouse-enroll-reply-v1', [
            nonce,
            certificate,
            trustEncoded,
          ]);
          return { certificate, trustEncoded, mac, validUntil: new Date(nowMs + 86_400_000) };
        },
      },
      enrollAgent: { callers: ['anonymous'], handle: refuse },
      renewAgent: { callers: ['agent'], handle: refuse },
      issueNodeHostCertificate: { callers: ['agent'], handle: refuse },
      issueDatabaseCertificate: { callers: ['agent'], handle: refuse },
    },
  );
  async function* watch(signal: AbortSignal): AsyncGenerator<WatchResponse> {
    const queue: WatchResponse[] = [
      { event: { $case: 'trust', value: trust } },
      { event: { $case: 'snapshotBegin', value: {} } },
      { event: { $case: 'snapshotEnd', value: { id: 1n } } },
    ];
    let wake = () => {};
    const watcher = (event: WatchResponse) => {
      queue.push(event);
      wake();
    };
    watchers.add(watcher);
    signal.addEventListener('abort', () => wake(), { once: true });
    while (!signal.aborted) {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) yield next;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    watchers.delete(watcher);
  }
  const clusterService = bindService<Caller, typeof ClusterServiceDefinition>(
    ClusterServiceDefinition,
    {
      watch: {
        callers: ['service/tunnel'],
        handle({ kinds }, { signal }) {
          watchedKinds = kinds;
          return watch(signal);
        },
      },
      reportSessions: { callers: ['service'], handle: refuse },
      findLiveSessions: { callers: ['service'], handle: refuse },
      registerAgent: {
        callers: ['service/tunnel'],
        handle: async ({ agentId }) => ({ agentName: 'a1', group: agentId }),
      },
      reportAgents: { callers: ['service/tunnel'], handle: async () => ({}) },
    },
  );
  const auth = await createRpcServer({
    host: '127.0.0.1',
    port: 0,
    tls: {
      key: own.privateKeyPem,
      certificate: pem(own.certificate),
      clientCa: pem(authorities.hostTls.certificate),
    },
    services: [enrollment, clusterService],
    identify: createIdentifier({ clusterName: cluster, clock: systemClock, trust: () => trust }),
    logger,
  });
  onTestFinished(async () => auth[Symbol.asyncDispose]());
  const dir = mkdtempSync(join(tmpdir(), 'tunnel-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'secret'), secret);
  const broker = new MemoryBroker();
  const config = parseConfig(tunnelConfigSchema, {
    cluster_name: cluster,
    listen: '127.0.0.1:0',
    public_listen: '127.0.0.1:0',
    metrics_listen: '127.0.0.1:0',
    auth: {
      address: `127.0.0.1:${auth.address.port}`,
      join_secret_file: join(dir, 'secret'),
    },
    state_dir: join(dir, 'state'),
    spool: { dir: join(dir, 'spool') },
    drain_timeout: '1s',
    ...overrides,
  });
  const service = await createTunnelService(config, {
    clock,
    logger,
    eventLog: createMemoryEventLog(broker),
  });
  onTestFinished(async () => service[Symbol.asyncDispose]());
  let id = 1n;
  return {
    authorities,
    service,
    broker,
    tellAgent(name, document) {
      id += 1n;
      const documentJson = document === undefined ? '' : JSON.stringify(document);
      tell({ $case: 'change', value: { id, kind: 'agent', name, documentJson } });
    },
    tellSnapshot(agentIds) {
      tell({ $case: 'snapshotBegin', value: {} });
      for (const name of agentIds) {
        const documentJson = JSON.stringify({ id: name, name, group: name });
        tell({ $case: 'change', value: { id: 0n, kind: 'agent', name, documentJson } });
      }
      tell({ $case: 'snapshotEnd', value: { id } });
    },
    setLock(target) {
      id += 1n;
      const document = {
        kind: 'lock',
        version: 'v1',
        metadata: { name: `l${id}` },
        spec: { target },
      };
      const documentJson = JSON.stringify(document);
      tell({ $case: 'change', value: { id, kind: 'lock', name: `l${id}`, documentJson } });
    },
  };
}

const settingsFrame = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

const portOf = (address: string) => Number(address.split(':')[1]);

async function dialIn(
  { service, authorities }: Setup,
  part: { privateKeyPem: string; certificate: Buffer } | undefined,
  address = '203.0.113.7',
): Promise<tls.TLSSocket> {
  const raw = net.connect({ port: portOf(service.publicAddress), host: '127.0.0.1' });
  raw.write(encodeProxyHeader({ source: { address, port: 5000 }, proxyId: 'srv_p' }));
  const settings: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
    socket: raw,
    servername: 'tunnel.test.gatehouse.internal',
    ALPNProtocols: [tunnelAlpn],
    ca: pem(authorities.hostTls.certificate),
    checkServerIdentity: () => undefined,
    allowHalfOpen: true,
    ...(part && { key: part.privateKeyPem, cert: pem(part.certificate) }),
  };
  const socket = tls.connect(settings);
  socket.on('error', () => undefined);
  raw.on('error', () => undefined);
  onTestFinished(() => void raw.destroy());
  return socket;
}

async function enterAs(
  setup: Setup,
  onDial: (dial: IncomingDial) => void = (dial) => dial.accept().end('from the agent'),
) {
  const agent = await issueTestAgent(setup.authorities);
  const socket = await dialIn(setup, agent);
  await once(socket, 'secureConnect');
  const tunnel = serveTunnel(socket, onDial);
  onTestFinished(() => tunnel.close());
  const control = await tunnel.control;
  const hello = { version: '1', targets: [], dynamic: [], nonce: 1n };
  control.send({ message: { $case: 'hello', value: hello } });
  const heard: string[] = [];
  const news: string[][] = [];
  const welcome = Promise.withResolvers<void>();
  const listen = async () => {
    for await (const { message } of control.messages()) {
      heard.push(message?.$case ?? '');
      if (message?.$case === 'welcome') welcome.resolve();
      if (message?.$case === 'replicas') news.push(message.value.replicaIds);
    }
  };
  listen().catch(() => undefined);
  await welcome.promise;
  const id = agent.part.type === 'agent' ? agent.part.id : '';
  return { id, tunnel, heard, news };
}

function hopOf(
  { service, authorities }: Setup,
  part: { privateKeyPem: string; certificate: Buffer },
) {
  const connection = createRpcConnection({
    address: service.address,
    tls: {
      serverCa: pem(authorities.hostTls.certificate),
      key: part.privateKeyPem,
      certificate: pem(part.certificate),
    },
    serverName: 'tunnel.test.gatehouse.internal',
    verifyServer: () => undefined,
  });
  onTestFinished(() => connection[Symbol.dispose]());
  return createHop({ channel: () => connection.channel() });
}

it('joins by its secret, says that it is ready, and carries a dial of a proxy', async () => {
  const setup = await start();
  const ready = await fetch(`${setup.service.metricsUrl}/readyz`);
  expect([ready.status, await ready.json()]).toMatchObject([200, { status: 'ready' }]);
  const { id, heard } = await enterAs(setup);
  expect(heard).toEqual(['trust', 'locks', 'welcome']);
  const hop = hopOf(setup, await issueTestService(setup.authorities, 'proxy'));
  const stream = await hop.dial({ agentId: id, grant: 'g', sessionId: 'ses_1' });
  expect(stream.tunnelReplica).toBe(setup.service.replicaId);
  expect((await stream.toArray()).join('')).toBe('from the agent');
  await expect(
    hop.dial({ agentId: 'agt_other', grant: 'g', sessionId: 'ses_1' }),
  ).rejects.toMatchObject({ reason: 'offline' });
  const metrics = await (await fetch(`${setup.service.metricsUrl}/metrics`)).text();
  expect(metrics).toMatch(/gatehouse_tunnel_active.* 1\b/);
});

it('lets only proxies dial, and none that is locked', async () => {
  const setup = await start();
  const { id } = await enterAs(setup);
  const request = { agentId: id, grant: 'g', sessionId: 'ses_1' };
  for (const kind of ['auth', 'tunnel', 'audit'] as const) {
    const part = await issueTestService(setup.authorities, kind);
    await expect(hopOf(setup, part).dial(request), kind).rejects.toMatchObject({
      reason: 'tunnel_lost',
    });
  }
  const agent = await issueTestAgent(setup.authorities);
  await expect(hopOf(setup, agent).dial(request)).rejects.toThrow();
  const proxy = await issueTestService(setup.authorities, 'proxy');
  const hop = hopOf(setup, proxy);
  await hop.dial(request);
  setup.setLock({ replica: proxy.part.type === 'service' ? proxy.part.id : '' });
  await expect
    .poll(async () =>
      hop.dial(request).then(
        () => true,
        () => false,
      ),
    )
    .toBe(false);
});

it('cuts what a proxy has open when a lock names its replica, and nobody else’s', async () => {
  const setup = await start();
  const { id } = await enterAs(setup, (dial) => dial.accept());
  const request = { agentId: id, grant: 'g', sessionId: 'ses_1' };
  const [locked, other] = [
    await issueTestService(setup.authorities, 'proxy'),
    await issueTestService(setup.authorities, 'proxy'),
  ];
  const cut = await hopOf(setup, locked).dial(request);
  const kept = await hopOf(setup, other).dial(request);
  for (const stream of [cut, kept]) stream.on('error', () => undefined).resume();
  expect(setup.service.dials).toBe(2);
  setup.setLock({ replica: locked.part.type === 'service' ? locked.part.id : '' });
  await expect.poll(() => [cut.destroyed, setup.service.dials]).toEqual([true, 1]);
  expect(kept.destroyed).toBe(false);
});

it('opens nothing more through a locked agent, and cuts it within a second', async () => {
  const setup = await start();
  const { id } = await enterAs(setup, (dial) => dial.accept());
  const request = { agentId: id, grant: 'g', sessionId: 'ses_1' };
  const hop = hopOf(setup, await issueTestService(setup.authorities, 'proxy'));
  const open = await hop.dial(request);
  open.on('error', () => undefined).resume();
  setup.setLock({ agent: id });
  await expect
    .poll(async () =>
      hop.dial(request).then(
        () => 'opened',
        ({ reason }: { reason: string }) => `${reason}, open: ${!open.destroyed}`,
      ),
    )
    .toBe('offline, open: true');
  await expect.poll(() => open.destroyed).toBe(true);
});

it('ends the tunnels of an agent that was deleted, and of none else', async () => {
  const setup = await start();
  const deleted = await enterAs(setup);
  const kept = await enterAs(setup);
  const hop = hopOf(setup, await issueTestService(setup.authorities, 'proxy'));
  const dial = async ({ id: agentId }: { id: string }) =>
    hop.dial({ agentId, grant: 'g', sessionId: 'ses_1' }).then(
      () => 'dialed',
      ({ reason }: { reason: string }) => reason,
    );
  for (const { id } of [deleted, kept]) setup.tellAgent(id, { id, name: 'a', group: id });
  expect(await dial(deleted)).toBe('dialed');
  setup.tellAgent(deleted.id);
  // Else who has the key of a deleted agent serves its targets until its certificate ends.
  await expect.poll(async () => dial(deleted), { timeout: 10_000 }).toBe('offline');
  expect(setup.service.tunnels).toBe(1);
  expect(await dial(kept)).toBe('dialed');
});

it('ends the tunnels of agents that were deleted while it did not hear of it', async () => {
  const setup = await start();
  const deleted = await enterAs(setup);
  const kept = await enterAs(setup);
  // An auth-service that tells of no agents says nothing of these.
  setup.tellSnapshot([]);
  setup.tellSnapshot([kept.id]);
  // Else an agent deleted while auth-service was away would stay.
  await expect.poll(() => setup.service.tunnels, { timeout: 10_000 }).toBe(1);
  const hop = hopOf(setup, await issueTestService(setup.authorities, 'proxy'));
  const request = { grant: 'g', sessionId: 'ses_1' };
  await expect(hop.dial({ ...request, agentId: deleted.id })).rejects.toMatchObject({
    reason: 'offline',
  });
  await hop.dial({ ...request, agentId: kept.id });
});

it('refuses every tunnel that is not an agent’s, and says so in the audit', async () => {
  const setup = await start();
  const { authorities, service } = setup;
  const stranger = await createTestAuthorities(cluster);
  const user = await issueTestUser(authorities);
  const hour = 3_600_000;
  const parts = {
    nobody: undefined,
    proxy: await issueTestService(authorities, 'proxy'),
    person: { privateKeyPem: user.privateKeyPem, certificate: user.tlsCertificate },
    stranger: await issueTestAgent(stranger),
    expired: await issueTestAgent(authorities, {
      validAfterMs: Date.now() - 2 * hour,
      validBeforeMs: Date.now() - hour,
    }),
  };
  for (const part of Object.values(parts)) {
    const socket = await dialIn(setup, part);
    socket.resume();
    await once(socket, 'close');
  }
  expect(service.tunnels).toBe(0);
  const topic = 'gatehouse.audit.v1';
  const refusals: { actor: { address: string }; reason: string }[] = [];
  await using _subscription = await createMemoryEventLog(setup.broker).subscribe({
    topic,
    group: 'test',
    onBatch: async (records) => {
      for (const { value } of records) refusals.push(JSON.parse(value.toString()) as never);
    },
  });
  await expect.poll(() => refusals.length, { timeout: 10_000 }).toBe(5);
  expect(refusals.every(({ actor }) => actor.address === '203.0.113.7:5000')).toBe(true);
  expect(refusals.map(({ reason }) => reason)).toContain('wrong_kind');
  await enterAs(setup);
  expect(service.tunnels).toBe(1);
});

it('serves no tunnel through the proxy to avoid, and waits for no agent that stays all the same', async () => {
  const setup = await start({ limits: { handshake_timeout: '1s' } });
  const socket = await dialIn(setup, await issueTestAgent(setup.authorities));
  await once(socket, 'secureConnect');
  const tunnel = serveTunnel(socket, () => undefined);
  const control = await tunnel.control;
  const hello = { version: '1', targets: [], dynamic: [], nonce: 1n, avoidProxy: 'srv_p' };
  control.send({ message: { $case: 'hello', value: hello } });
  const heard: string[] = [];
  for await (const { message } of control.messages()) heard.push(message?.$case ?? '');
  expect(heard).toEqual(['sameProxy']);
  expect(setup.service.tunnels).toBe(0);
  await tunnel.closed;
  // One that avoids another proxy is served.
  await enterAs(setup);
});

it('tells agents of the replicas that a proxy reaches, of no other words, and of none after it has left', async () => {
  const setup = await start();
  const { replicaId } = setup.service;
  const other = createId('srv');
  const hop = hopOf(setup, await issueTestService(setup.authorities, 'proxy'));
  const { news } = await enterAs(setup);
  const stop = new AbortController();
  const watching = hop.watch({
    signal: stop.signal,
    onChange: () => undefined,
    followReplicas(onReplicas) {
      onReplicas([other, replicaId, 'srv_', 'x'.repeat(100_000)]);
      return () => undefined;
    },
  });
  await expect.poll(() => news.at(-1)?.toSorted()).toEqual([other, replicaId].toSorted());
  stop.abort();
  await watching;
  await expect.poll(() => news.at(-1)).toEqual([]);
});

it('lets another agent in however many tunnels one has', async () => {
  const setup = await start({ limits: { tunnels: 12 } });
  const greedy = await issueTestAgent(setup.authorities);
  // Else twelve tunnels of one certificate are all there may be.
  for (let n = 0; n < 20; n += 1) {
    const socket = await dialIn(setup, greedy);
    await once(socket, 'secureConnect');
    const tunnel = serveTunnel(socket, () => undefined);
    onTestFinished(() => tunnel.close());
    const control = await tunnel.control;
    const hello = { version: '1', targets: [], dynamic: [], nonce: BigInt(n) };
    control.send({ message: { $case: 'hello', value: hello } });
  }
  await expect.poll(() => setup.service.tunnels, { timeout: 10_000 }).toBe(8);
  const { id } = await enterAs(setup);
  const hop = hopOf(setup, await issueTestService(setup.authorities, 'proxy'));
  await hop.dial({ agentId: id, grant: 'g', sessionId: 'ses_1' });
});

it('gives the place of who leaves while it waits to an agent', async () => {
  const setup = await start({ limits: { admissions_per_second: 1, handshake_timeout: '2s' } });
  const begun = Buffer.concat([
    encodeProxyHeader({ source: { address: '203.0.113.7', port: 5000 }, proxyId: 'srv_p' }),
    Buffer.from([0x16, 3, 1]),
  ]);
  // Else connections that are closed at once keep their places in line, and agents out.
  const closed = Array.from({ length: 20 }, async () => {
    const socket = net.connect({ port: portOf(setup.service.publicAddress), host: '127.0.0.1' });
    socket.resume().end(begun);
    await once(socket, 'close');
  });
  const startedAt = performance.now();
  await Promise.all(closed);
  await enterAs(setup);
  // Who has had a turn stays 2 s; who keeps a place in line, 5 s.
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});

it('gives up connections that begin with anything but a PROXY header, or stay silent', async () => {
  const setup = await start({ limits: { handshake_timeout: '1s' } });
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01', '']) {
    const socket = net.connect({ port: portOf(setup.service.publicAddress), host: '127.0.0.1' });
    socket.on('error', () => undefined);
    socket.resume();
    if (bytes !== '') socket.write(Buffer.from(bytes, 'latin1'));
    await once(socket, 'close');
  }
  const agent = await issueTestAgent(setup.authorities);
  const socket = await dialIn(setup, agent);
  // TLS is done, and then nothing.
  await once(socket.resume(), 'close');
});

it('closes a connection whose caller has said its end and stays', async () => {
  const { authorities, service } = await start();
  const proxy = await issueTestService(authorities, 'proxy');
  const raw = net.connect({
    port: portOf(service.address),
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  const settings: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
    socket: raw,
    ALPNProtocols: ['h2'],
    ca: pem(authorities.hostTls.certificate),
    checkServerIdentity: () => undefined,
    allowHalfOpen: true,
    key: proxy.privateKeyPem,
    cert: pem(proxy.certificate),
  };
  const socket = tls.connect(settings);
  onTestFinished(() => void raw.destroy());
  await once(socket, 'secureConnect');
  // RFC 9113 §3.4: the preface and empty SETTINGS; the server's own say that it speaks HTTP/2.
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settingsFrame]));
  await once(socket, 'data');
  const startedAt = performance.now();
  socket.resume().end();
  await once(socket, 'end');
  // grpc-js itself would notice by a ping without an answer, after 30 s.
  expect(performance.now() - startedAt).toBeLessThan(15_000);
});

const readyOf = async ({ service }: Setup) => {
  const answer = await fetch(`${service.metricsUrl}/readyz`);
  return { status: answer.status, body: (await answer.json()) as object };
};

it('is not ready while its spool is full', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'spool-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  // A refusal is some 400 bytes, and an address has ten a minute.
  const setup = await start({ spool: { dir, events: '8KiB' } });
  expect(await readyOf(setup)).toMatchObject({ status: 200 });
  setup.broker.isAway = true;
  const notAgent = await issueTestService(setup.authorities, 'proxy');
  let host = 0;
  await expect
    .poll(
      async () => {
        host += 1;
        const socket = await dialIn(setup, notAgent, `198.51.100.${host}`);
        socket.resume();
        await once(socket, 'close');
        return readyOf(setup);
      },
      { timeout: 30_000, interval: 0 },
    )
    .toMatchObject({ status: 503, body: { reasons: ['spool_full'], degraded: ['kafka'] } });
});

it('is not ready once its certificate has ended', async () => {
  let offsetMs = 0;
  const clock = { now: () => Date.now() + offsetMs, monotonic: () => performance.now() };
  const setup = await start({}, clock);
  expect(await readyOf(setup)).toMatchObject({ status: 200 });
  offsetMs = 25 * 3_600_000;
  expect(await readyOf(setup)).toMatchObject({
    status: 503,
    body: { reasons: ['certificate_expired'] },
  });
});
