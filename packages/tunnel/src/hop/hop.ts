/** The proxy's end of the hop to one tunnel replica. */
import { createId } from '@gatehouse/kit/ids';
import type { ProxyNote, WatchAgentsResponse } from '@gatehouse/proto/tunnel/v1/tunnel_service';
import { Client, credentials, type Channel } from '@grpc/grpc-js';

import { dialError } from '../errors.js';
import { tunnelServiceDefinition as definition } from './definition.js';
import { HopStream } from './hop-stream.js';

/** A connection to a target: ends and half-closes like a socket. */
export type TargetStream = HopStream & {
  /** The tunnel replica it goes through, srv_…. */
  readonly tunnelReplica: string;
  /** The agent that it goes through, agt_…. */
  readonly agentId: string;
};

export interface HopDial {
  readonly agentId: string;
  /** Compact JWS for this agent. */
  readonly grant: string;
  readonly sessionId: string;
  readonly traceparent?: string;
  /** Gives up waiting for the answer; afterwards it has no meaning. */
  readonly signal?: AbortSignal;
}

export interface HopWatch {
  readonly signal: AbortSignal;
  onChange(change: WatchAgentsResponse): void;
  /** Calls back with the ids of all replicas that this proxy reaches, now and after each change; gives a function that stops it. */
  followReplicas(onReplicas: (ids: readonly string[]) => void): () => void;
}

export interface Hop {
  /** @throws with a reason: refused, not_found, timed_out, not_allowed_by_agent, offline, agent_lost, tunnel_lost, busy */
  dial(dial: HopDial): Promise<TargetStream>;
  /** Changes of presence until `signal` aborts or the connection breaks (then it throws). */
  watch(options: HopWatch): Promise<void>;
  /** Asks agents whose tunnels came through the calling proxy to dial again. @throws what grpc-js says */
  moveTunnels(): Promise<void>;
  /** Has the replica tell the other proxies. @throws what grpc-js says */
  tellProxies(note: ProxyNote): Promise<void>;
}

export interface HopOptions {
  /** The connection to the replica; asked anew for each call, so that certificates may be replaced. */
  channel(): Channel;
  /** A dial to its answer. Default 20 s. */
  readonly openTimeoutMs?: number;
}

/** How long a reset may take to get through before it is said on another way. */
const abandonAfterMs = 2_000;

export function createHop(options: HopOptions): Hop {
  const client = () =>
    new Client('replica', credentials.createInsecure(), { channelOverride: options.channel() });
  return {
    dial: async (dial) => dialThrough(client(), dial, options.openTimeoutMs ?? 20_000),
    watch: async (options) => watchThrough(client(), options),
    moveTunnels: async () => ask(client(), definition.moveTunnels, {}),
    tellProxies: async (note) => ask(client(), definition.tellProxies, { note }),
  };
}

async function dialThrough(
  client: Client,
  dial: HopDial,
  openTimeoutMs: number,
): Promise<TargetStream> {
  dial.signal?.throwIfAborted();
  const { agentId, grant, sessionId, traceparent = '', signal } = dial;
  const dialId = createId('req');
  const { path, requestSerialize, responseDeserialize } = definition.dial;
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  const opened = Promise.withResolvers<string>();
  const stream = new HopStream(call, {
    side: 'proxy',
    lossReason: 'tunnel_lost',
    onOpen(frame) {
      if (frame.kind === 'opened') opened.resolve(frame.value.replicaId);
    },
  });
  abandonWhenStuck(client, stream, dialId);
  stream.sendOpen({ kind: 'open', value: { agentId, grant, sessionId, traceparent, dialId } });
  const onClose = () => {
    opened.reject(stream.errored ?? dialError('tunnel_lost'));
  };
  const onAbort = () => {
    const reason: unknown = signal?.reason;
    stream.destroy(reason instanceof Error ? reason : dialError('closed'));
  };
  const timer = setTimeout(() => stream.destroy(dialError('timed_out')), openTimeoutMs);
  stream.once('close', onClose);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return Object.assign(stream, { tunnelReplica: await opened.promise, agentId });
  } finally {
    clearTimeout(timer);
    stream.off('close', onClose);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** A reset can't pass data that waits for a target which has stopped reading; then it goes by a call of its own. */
function abandonWhenStuck(client: Client, stream: HopStream, dialId: string): void {
  const { path, requestSerialize, responseDeserialize } = definition.abandon;
  stream.once('close', () => {
    setTimeout(() => {
      if (stream.isCallOver) return;
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        { dialId },
        { deadline: Date.now() + 10_000 },
        () => undefined,
      );
    }, abandonAfterMs).unref();
  });
}

interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

async function ask<Request, Response>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: UnaryMethod<Request, Response>,
  request: Request,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      { deadline: Date.now() + 5_000 },
      (error) => {
        if (error === null) resolve();
        else reject(error);
      },
    );
  });
}

async function watchThrough(client: Client, watch: HopWatch): Promise<void> {
  const { signal } = watch;
  const { path, requestSerialize, responseDeserialize } = definition.watchAgents;
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const onAbort = () => {
    // One cancel per watch and life of a connection: far below what counts as a burst.
    call.cancel();
    resolve(undefined);
  };
  call.on('data', (change: WatchAgentsResponse) => watch.onChange(change));
  call.on('error', (cause: Error) => {
    reject(dialError('tunnel_lost', { cause }));
  });
  call.on('end', () => {
    reject(dialError('tunnel_lost'));
  });
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  const stop = watch.followReplicas((ids) => call.write({ replicaIds: [...ids] }));
  try {
    await promise;
  } finally {
    stop();
    signal.removeEventListener('abort', onAbort);
  }
}
