import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { createLogger } from '@gatehouse/kit/log';
import { joinStreams } from '@gatehouse/kit/net';
import { createRpcConnection, createRpcServer, type RpcServer } from '@gatehouse/kit/rpc';
import type { WatchAgentsResponse } from '@gatehouse/proto/tunnel/v1/tunnel_service';
import {
  breakConnection,
  createAgentDirectory,
  createHop,
  createTunnelRpc,
  dialError,
  tunnelServiceDefinition,
  type Hop,
  type TunnelRpc,
} from '@gatehouse/tunnel';
import { expect, it, onTestFinished } from 'vitest';

import { createTarget, createTestTls, createTunnelPair, type TestTls } from './tunnel-pair.js';

const logger = createLogger({ name: 'test', level: 'silent' });
const dial = { agentId: 'agt_1', grant: 'a.b.c', sessionId: 'ses_1' };

interface Replica {
  readonly rpc: TunnelRpc;
  readonly server: RpcServer;
  readonly address: string;
  readonly tls: TestTls;
  /** Proxies that asked to have their tunnels moved. */
  readonly moved: readonly string[];
  /** Tells whoever watches of tunnels that came or went. */
  tell(change: { present?: readonly TestTunnel[]; gone?: readonly TestTunnel[] }): void;
}

interface TestTunnel {
  readonly agentId: string;
  readonly nonce: bigint;
  readonly viaProxy?: string;
}

async function startReplica(
  open: (signal: AbortSignal) => Promise<Duplex>,
  present: readonly TestTunnel[] = [],
  isProxy = true,
): Promise<Replica> {
  const tls = await createTestTls();
  const moved: string[] = [];
  const watchers: ((change: WatchAgentsResponse) => void)[] = [];
  const describeAll = (tunnels: readonly TestTunnel[] = []) =>
    tunnels.map((tunnel) => ({ group: 'web', viaProxy: '', ...tunnel }));
  const rpc = createTunnelRpc({
    replicaId: () => 'srv_t',
    proxyOf: (certificate) => (isProxy && certificate !== undefined ? 'srv_p' : undefined),
    moveTunnels: (proxyId) => moved.push(proxyId),
    tellProxies(note) {
      for (const watcher of watchers)
        watcher({ replicaId: 'srv_t', full: false, present: [], gone: [], note });
    },
    open: async (_dial, signal) => open(signal),
    watch(onChange) {
      const change = { present: describeAll(present), gone: [], note: undefined };
      onChange({ replicaId: 'srv_t', full: true, ...change });
      watchers.push(onChange);
      return { noteReplicas: () => undefined, stop: () => undefined };
    },
  });
  const server = await createRpcServer({
    host: '127.0.0.1',
    port: 0,
    tls: { key: tls.key, certificate: tls.cert, clientCa: tls.ca },
    services: [],
    rawServices: [{ definition: tunnelServiceDefinition, implementation: rpc.implementation }],
    identify: () => ({ type: 'anonymous' as const }),
    logger,
  });
  onTestFinished(async () => server[Symbol.asyncDispose]());
  const tell: Replica['tell'] = (change) => {
    const parts = { present: describeAll(change.present), gone: describeAll(change.gone) };
    for (const watcher of watchers)
      watcher({ replicaId: 'srv_t', full: false, ...parts, note: undefined });
  };
  return { rpc, server, tls, moved, tell, address: `127.0.0.1:${server.address.port}` };
}

function connectTo({ tls }: { tls: TestTls }, address: string) {
  return createRpcConnection({
    address,
    tls: { serverCa: tls.ca, key: tls.key, certificate: tls.cert },
    serverName: 'localhost',
    verifyServer: () => undefined,
    channelOptions: { 'grpc-node.flow_control_window': 1 << 20 },
  });
}

function createDirectory(replicas: readonly Replica[]) {
  return createAgentDirectory({
    connect(address) {
      const replica = replicas.find((one) => one.address === address);
      if (replica === undefined) throw new Error(`no replica at ${address}`);
      return connectTo(replica, address);
    },
    proxyId: 'srv_p',
    logger,
  });
}

function hopTo(replica: Replica): Hop {
  const connection = connectTo(replica, replica.address);
  onTestFinished(() => connection[Symbol.dispose]());
  return createHop({ channel: () => connection.channel() });
}

async function tcp(port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** All that a stream says; unlike `toArray` it leaves the other direction alone. */
async function collect(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(stream, 'end');
  return Buffer.concat(chunks);
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

it('carries 32 MiB each way through hop, tunnel and agent, with half-close both ways', async () => {
  const payload = randomBytes(32 << 20);
  let heard: Promise<string> | undefined;
  const port = await createTarget((socket) => {
    heard = collect(socket).then(digest);
    socket.end(payload);
  });
  const pair = await createTunnelPair((incoming) => {
    tcp(port)
      .then(async (target) =>
        joinStreams(incoming.accept(), target, { breakStream: breakConnection }),
      )
      .catch(() => undefined);
  });
  const replica = await startReplica(async (signal) =>
    pair.service.open({ grant: 'g', sessionId: 's', signal }),
  );
  const stream = await hopTo(replica).dial(dial);
  expect(stream.tunnelReplica).toBe('srv_t');
  stream.end(payload);
  expect(digest(await collect(stream))).toBe(digest(payload));
  expect(await heard).toBe(digest(payload));
  await expect.poll(() => replica.rpc.dialCount()).toBe(0);
  await expect.poll(() => pair.agent.streamCount).toBe(0);
});

it('says why the agent could not or would not, and that it is not there', async () => {
  const reasons = ['refused', 'not_found', 'timed_out', 'not_allowed_by_agent', 'offline'] as const;
  for (const reason of reasons) {
    const replica = await startReplica(async () => Promise.reject(dialError(reason)));
    await expect(hopTo(replica).dial(dial)).rejects.toMatchObject({ reason });
    await expect.poll(() => replica.rpc.dialCount()).toBe(0);
  }
});

it('refuses callers that are no proxy', async () => {
  const replica = await startReplica(async () => tcp(1), [], false);
  await expect(hopTo(replica).dial(dial)).rejects.toMatchObject({ reason: 'tunnel_lost' });
  await expect(
    hopTo(replica).watch({
      signal: AbortSignal.timeout(5000),
      onChange: () => undefined,
      followReplicas: () => () => undefined,
    }),
  ).rejects.toMatchObject({ reason: 'tunnel_lost' });
});

it(
  'keeps other dials alive through 5,000 opened and aborted ones',
  { timeout: 240_000 },
  async () => {
    const port = await createTarget((socket) => socket.pipe(socket));
    const replica = await startReplica(async () => tcp(port));
    const hop = hopTo(replica);
    const bystander = await hop.dial(dial);
    for (let round = 0; round < 50; round += 1) {
      await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          const abort = new AbortController();
          const opening = hop.dial({ ...dial, signal: abort.signal });
          opening.catch(() => undefined);
          if (index % 2 === 0) abort.abort(new Error('changed my mind'));
          const stream = await opening.catch(() => undefined);
          stream?.write(Buffer.alloc(4096));
          stream?.destroy();
        }),
      );
    }
    bystander.end('still here');
    expect((await bystander.toArray()).join('')).toBe('still here');
    await expect.poll(() => replica.rpc.dialCount(), { timeout: 10_000 }).toBe(0);
  },
);

it('gives a dial up at both ends although its target has stopped reading', async () => {
  const port = await createTarget((socket) => socket.pause());
  let target: net.Socket | undefined;
  const replica = await startReplica(async () => {
    target = await tcp(port);
    return target;
  });
  const stream = await hopTo(replica).dial(dial);
  const chunk = Buffer.alloc(1 << 20);
  for (let sent = 0; sent < 64; sent += 1) stream.write(chunk);
  await sleep(300);
  expect(stream.writableLength).toBeGreaterThan(16 << 20);
  stream.destroy();
  await expect.poll(() => target?.destroyed, { timeout: 8_000 }).toBe(true);
  await expect.poll(() => replica.rpc.dialCount()).toBe(0);
});

it('hands on resets and losses with their reason, and never as an end', async () => {
  const port = await createTarget((socket) => {
    socket.write('part');
    socket.on('data', () => socket.resetAndDestroy());
  });
  const pair = await createTunnelPair((incoming) => {
    tcp(port)
      .then(async (target) =>
        joinStreams(incoming.accept(), target, { breakStream: breakConnection }),
      )
      .catch(() => undefined);
  });
  const replica = await startReplica(async (signal) =>
    pair.service.open({ grant: 'g', sessionId: 's', signal }),
  );
  const hop = hopTo(replica);
  const lose = async (how: (stream: Duplex) => void) => {
    const stream = await hop.dial(dial);
    await once(stream, 'data');
    stream.resume();
    how(stream);
    const [error] = (await once(stream, 'error')) as [unknown];
    expect(stream.readableEnded).toBe(false);
    return error;
  };
  expect(await lose((stream) => stream.write('x'))).toMatchObject({ reason: 'closed' });
  expect(await lose(() => pair.cut())).toMatchObject({ reason: 'agent_lost' });
});

it('ends dials with tunnel_lost when the replica dies', async () => {
  const port = await createTarget((socket) => socket.write('part'));
  const replica = await startReplica(async () => tcp(port));
  const stream = await hopTo(replica).dial(dial);
  await once(stream, 'data');
  await replica.server[Symbol.asyncDispose]();
  const [error] = (await once(stream, 'error')) as [unknown];
  expect(error).toMatchObject({ reason: 'tunnel_lost' });
});

it('finds an agent through whichever replica has it, and forgets it with the replica', async () => {
  const port = await createTarget((socket) => socket.end('hello'));
  const gone = await startReplica(
    async () => Promise.reject(dialError('offline')),
    [{ agentId: 'agt_1', nonce: 9n }],
  );
  const here = await startReplica(async () => tcp(port), [{ agentId: 'agt_1', nonce: 5n }]);
  await using directory = createDirectory([gone, here]);
  directory.use([gone.address, here.address]);
  expect(await directory.waitFor('web', 5000)).toBe(true);
  await expect.poll(() => directory.find('web').length).toBe(2);
  const request = {
    group: 'web',
    sessionId: 'ses_1',
    grant: async (agentId: string) => `for.${agentId}.x`,
    signal: AbortSignal.timeout(5000),
  };
  const stream = await directory.dial(request);
  expect((await stream.toArray()).join('')).toBe('hello');
  stream.end();
  await here.server[Symbol.asyncDispose]();
  await expect.poll(() => directory.find('web').length).toBe(1);
  expect(directory.replicas().filter(({ isConnected }) => isConnected)).toMatchObject([
    { address: gone.address },
  ]);
  await expect(directory.dial(request)).rejects.toMatchObject({ reason: 'offline' });
  await gone.server[Symbol.asyncDispose]();
  await expect.poll(() => directory.isOnline('web')).toBe(false);
});

it('keeps the newer tunnel where news of an older one comes late, and dials succeed (TUN-10)', async () => {
  const [left, right] = await Promise.all(
    ['left', 'right'].map(async (name) => createTarget((socket) => socket.end(name))),
  );
  const agent = (nonce: bigint, viaProxy = '') => ({ agentId: 'agt_1', nonce, viaProxy });
  /** Where the agent is, whatever is said of it. */
  let at = left;
  const open = (port: number | undefined) => async () =>
    port === at ? tcp(port ?? 0) : Promise.reject(dialError('offline'));
  const first = await startReplica(open(left), [agent(5n)]);
  const second = await startReplica(open(right));
  await using directory = createDirectory([first, second]);
  directory.use([first.address, second.address]);
  const nonces = () => directory.find('web').map(({ nonce }) => nonce);
  const dialOne = async () => {
    const grant = async (agentId: string) => `for.${agentId}.x`;
    const signal = AbortSignal.timeout(5_000);
    const stream = await directory.dial({ group: 'web', sessionId: 'ses_1', grant, signal });
    const text = (await stream.toArray()).join('');
    stream.end();
    return text;
  };
  await expect.poll(nonces).toEqual([5n]);
  expect(await dialOne()).toBe('left');

  at = right;
  second.tell({ present: [agent(9n)] });
  await expect.poll(nonces).toEqual([9n, 5n]);
  first.tell({ present: [agent(4n)] });
  await expect.poll(nonces).toEqual([9n, 5n, 4n]);
  expect(await dialOne()).toBe('right');
  // One that is preferred for its proxy is tried first, and is no dead end either.
  first.tell({ present: [agent(6n, 'srv_p')] });
  await expect.poll(nonces).toEqual([6n, 9n, 5n, 4n]);
  expect(await dialOne()).toBe('right');
  // What its replica says of older ones takes nothing from the newer one.
  second.tell({ gone: [agent(3n)] });
  first.tell({ gone: [agent(4n), agent(5n), agent(6n)] });
  await expect.poll(nonces).toEqual([9n]);
  expect(await dialOne()).toBe('right');

  at = left;
  first.tell({ present: [agent(12n)] });
  await expect.poll(nonces).toEqual([12n, 9n]);
  expect(await dialOne()).toBe('left');
});

it('takes a replica that comes later, and keeps one that is no longer named until it ends', async () => {
  const agent = (agentId: string) => [{ agentId, nonce: 1n }];
  const open = async () => Promise.reject(dialError('offline'));
  const first = await startReplica(open, agent('agt_1'));
  const second = await startReplica(open, agent('agt_2'));
  await using directory = createDirectory([first, second]);
  directory.use([first.address]);
  expect(await directory.waitFor('agt_1', 5000)).toBe(true);
  directory.use([second.address]);
  expect(await directory.waitFor('agt_2', 5000)).toBe(true);
  expect(directory.isOnline('agt_1')).toBe(true);
  await first.server[Symbol.asyncDispose]();
  await expect.poll(() => directory.replicas().length).toBe(1);
  expect(directory.isOnline('agt_1')).toBe(false);
});

it('asks every replica to move the tunnels of the proxy that asks, and of no other', async () => {
  const open = async () => Promise.reject(dialError('offline'));
  const replicas = [await startReplica(open), await startReplica(open)];
  await using directory = createDirectory(replicas);
  directory.use(replicas.map(({ address }) => address));
  await expect
    .poll(() => directory.replicas().filter(({ isConnected }) => isConnected).length)
    .toBe(2);
  await directory.moveTunnels();
  expect(replicas.map(({ moved }) => moved)).toEqual([['srv_p'], ['srv_p']]);
});

it('moves nothing for a caller that is no proxy', async () => {
  const replica = await startReplica(async () => Promise.reject(dialError('offline')), [], false);
  await expect(hopTo(replica).moveTunnels()).rejects.toMatchObject({ code: 7 });
  expect(replica.moved).toEqual([]);
});

it('passes a word of one proxy on to all, and none that is too long', async () => {
  const replica = await startReplica(async () => Promise.reject(new Error('no dial')));
  await using teller = createDirectory([replica]);
  await using other = createDirectory([replica]);
  for (const directory of [teller, other]) directory.use([replica.address]);
  const heard: string[] = [];
  other.onNote(({ topic, content }) => heard.push(`${topic}: ${content.toString()}`));
  await expect.poll(() => other.replicas()[0]?.isConnected).toBe(true);
  await expect.poll(() => teller.replicas()[0]?.isConnected).toBe(true);
  teller.tellProxies({ topic: 'test', content: Buffer.from('hello') });
  await expect.poll(() => heard).toEqual(['test: hello']);
  const long = { topic: 'test', content: Buffer.alloc(513) };
  await expect(hopTo(replica).tellProxies(long)).rejects.toMatchObject({ code: 3 });
  expect(other.find('web')).toEqual([]);
});
