/** The tunnel replica's end of the hop: TunnelService as a raw grpc-js implementation. */
import type { Duplex } from 'node:stream';

import { toGatehouseError } from '@gatehouse/kit/errors';
import { isId } from '@gatehouse/kit/ids';
import { joinStreams } from '@gatehouse/kit/net';
import type {
  AbandonRequest,
  AbandonResponse,
  DialOpen,
  MoveTunnelsRequest,
  MoveTunnelsResponse,
  ProxyNote,
  TellProxiesRequest,
  TellProxiesResponse,
  WatchAgentsRequest,
  WatchAgentsResponse,
} from '@gatehouse/proto/tunnel/v1/tunnel_service';
import {
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';

import { dialError } from '../errors.js';
import { breakConnection } from '../streams.js';
import type { HopFrame } from './frames.js';
import { HopStream } from './hop-stream.js';

export interface TunnelRpcOptions {
  /** This replica, srv_…. */
  replicaId(): string;
  /** The id of the proxy with this certificate (DER), srv_…; undefined: the caller is none, or a locked one. */
  proxyOf(certificate: Buffer | undefined): string | undefined;
  /** Opens a connection through an agent's tunnel. Throws errors with a reason. */
  open(dial: DialOpen, signal: AbortSignal): Promise<Duplex>;
  /** Calls back with the full set at once and then with each change. */
  watch(onChange: (change: WatchAgentsResponse) => void): ProxyWatch;
  /** Asks agents whose tunnels came through this proxy to dial again. */
  moveTunnels(proxyId: string): void;
  /** Tells all proxies that watch, also whoever said it. */
  tellProxies(note: ProxyNote): void;
}

/** A proxy's watch. */
export interface ProxyWatch {
  /** The proxy has said which replicas it reaches, srv_…. */
  noteReplicas(ids: readonly string[]): void;
  stop(): void;
}

export interface TunnelRpc {
  readonly implementation: UntypedServiceImplementation;
  /** Connections that are open now. */
  dialCount(): number;
  /** Resets all connections with the reason tunnel_lost. */
  closeAll(): void;
}

interface AnyCall {
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Buffer } };
}

const tooLong = { code: status.INVALID_ARGUMENT, details: 'the note is too long' };
const notProxy = { code: status.PERMISSION_DENIED, details: 'only a proxy may ask' };

/** Messages that may wait for a proxy that does not read its watch. */
const maxWaiting = 10_000;
const maxReplicas = 200;
const maxNoteBytes = { topic: 64, content: 512 };

export function createTunnelRpc(options: TunnelRpcOptions): TunnelRpc {
  const dials = new Map<string, HopStream>();
  const streams = new Set<HopStream>();
  const proxyOf = (call: AnyCall) => options.proxyOf(call.getAuthContext().sslPeerCertificate?.raw);
  const isRefused = (call: AnyCall) => proxyOf(call) === undefined;
  return {
    implementation: {
      watchAgents(call: ServerDuplexStream<WatchAgentsRequest, WatchAgentsResponse>) {
        call.on('error', () => undefined);
        if (isRefused(call)) call.emit('error', notProxy);
        else serveWatch(call, options);
      },
      dial(call: ServerDuplexStream<HopFrame, HopFrame>) {
        if (isRefused(call)) {
          call.on('error', () => undefined);
          call.emit('error', notProxy);
        } else serveDial(call, options, { dials, streams });
      },
      abandon(
        call: ServerUnaryCall<AbandonRequest, AbandonResponse>,
        done: sendUnaryData<AbandonResponse>,
      ) {
        if (isRefused(call)) {
          done(notProxy);
          return;
        }
        dials.get(call.request.dialId)?.destroy(dialError('closed'));
        done(null, {});
      },
      moveTunnels(
        call: ServerUnaryCall<MoveTunnelsRequest, MoveTunnelsResponse>,
        done: sendUnaryData<MoveTunnelsResponse>,
      ) {
        const proxyId = proxyOf(call);
        if (proxyId === undefined) {
          done(notProxy);
          return;
        }
        options.moveTunnels(proxyId);
        done(null, {});
      },
      tellProxies(
        call: ServerUnaryCall<TellProxiesRequest, TellProxiesResponse>,
        done: sendUnaryData<TellProxiesResponse>,
      ) {
        const { note } = call.request;
        if (isRefused(call)) done(notProxy);
        else if (note === undefined || isTooLong(note)) done(tooLong);
        else {
          options.tellProxies(note);
          done(null, {});
        }
      },
    },
    dialCount: () => streams.size,
    closeAll() {
      for (const stream of streams) stream.destroy(dialError('tunnel_lost'));
    },
  };
}

function isTooLong({ topic, content }: ProxyNote): boolean {
  return Buffer.byteLength(topic) > maxNoteBytes.topic || content.length > maxNoteBytes.content;
}

function serveWatch(
  call: ServerDuplexStream<WatchAgentsRequest, WatchAgentsResponse>,
  options: TunnelRpcOptions,
): void {
  const watch = options.watch((change) => {
    call.write(change);
    if (call.writableLength > maxWaiting) call.end();
  });
  call.on('data', ({ replicaIds }: WatchAgentsRequest) => {
    watch.noteReplicas(replicaIds.filter((id) => isId('srv', id)).slice(0, maxReplicas));
  });
  call.on('end', () => call.end());
  call.on('cancelled', () => watch.stop());
  call.on('close', () => watch.stop());
}

function serveDial(
  call: ServerDuplexStream<HopFrame, HopFrame>,
  options: TunnelRpcOptions,
  open: { readonly dials: Map<string, HopStream>; readonly streams: Set<HopStream> },
): void {
  const abort = new AbortController();
  let dialId = '';
  const stream: HopStream = new HopStream(call, {
    side: 'replica',
    lossReason: 'closed',
    onOpen(frame) {
      if (frame.kind !== 'open') return;
      ({ dialId } = frame.value);
      open.dials.set(dialId, stream);
      connect(stream, frame.value, { options, signal: abort.signal }).catch((thrown: unknown) => {
        stream.destroy(toGatehouseError(thrown));
      });
    },
  });
  open.streams.add(stream);
  stream.once('close', () => {
    abort.abort(stream.errored ?? dialError('closed'));
    open.dials.delete(dialId);
    open.streams.delete(stream);
  });
}

async function connect(
  stream: HopStream,
  dial: DialOpen,
  { options, signal }: { options: TunnelRpcOptions; signal: AbortSignal },
): Promise<void> {
  const target = await options.open(dial, signal);
  if (stream.destroyed) {
    breakConnection(target, stream, undefined);
    return;
  }
  stream.sendOpen({ kind: 'opened', value: { replicaId: options.replicaId() } });
  await joinStreams(stream, target, { breakStream: breakConnection });
}
