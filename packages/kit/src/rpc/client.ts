/** gRPC clients with mutual TLS, deadlines on unary calls, and errors as the other side raised them. */
import { X509Certificate } from 'node:crypto';

import { ChannelCredentials, type ChannelOptions, type ServiceError } from '@grpc/grpc-js';
import {
  ClientError,
  createChannel,
  createClientFactory,
  type Channel,
  type Client,
  type ClientMiddlewareCall,
  type CallOptions,
  type CompatServiceDefinition,
} from 'nice-grpc';

import { fromServiceError } from './status.js';

/** The client of a service, for types that name one. */
export type RpcClient<Service extends CompatServiceDefinition> = Client<Service>;

export interface RpcClientTls {
  /** CA certificates that the server's certificate is verified with, PEM. Undefined: any server; what it says must then be
   *  proven otherwise (enrollment). */
  readonly serverCa: string | undefined;
  /** Client key and certificate, PEM; none: anonymous. */
  readonly key?: string;
  readonly certificate?: string;
}

export interface RpcConnectionOptions {
  /**
   * `host:port`; a name may stand for several addresses. Or several, then of IP addresses. Any one of them is used, and
   * another one when it goes away.
   */
  readonly address: string | readonly string[];
  readonly tls: RpcClientTls;
  /** Sent as SNI; the certificate's DNS names are not compared with it (D15): `verifyServer` is what counts. */
  readonly serverName: string;
  /** Throws where the server's certificate (DER, chain already verified) is not of the kind expected. */
  verifyServer(certificate: Buffer): void;
  /** Deadline of a unary call, ms. Default 10 s. */
  readonly timeoutMs?: number;
  readonly channelOptions?: ChannelOptions;
}

/** One connection to one service; clients made from it go on working when `replaceTls` opens a new one underneath. */
export interface RpcConnection extends Disposable {
  client<Service extends CompatServiceDefinition>(definition: Service): Client<Service>;
  replaceTls(tls: RpcClientTls): void;
  /** The raw channel for hot paths with codecs of their own; asks anew after `replaceTls`. */
  channel(): Channel;
}

export function createRpcConnection(options: RpcConnectionOptions): RpcConnection {
  let channel = openChannel(options, options.tls);
  const factory = createClientFactory().use(mapErrors(options.timeoutMs ?? 10_000));
  return {
    channel: () => channel,
    replaceTls(tls) {
      const old = channel;
      channel = openChannel(options, tls);
      // Running calls may end on the old connection.
      setTimeout(() => old.close(), 30_000).unref();
    },
    client<Service extends CompatServiceDefinition>(definition: Service): Client<Service> {
      let made = { channel, client: factory.create(definition, channel) };
      const current = (): Client<Service> => {
        if (made.channel !== channel)
          made = { channel, client: factory.create(definition, channel) };
        return made.client;
      };
      const target: object = made.client;
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the proxy answers with the present client's own methods
      return new Proxy(target, {
        get: (_target, name): unknown => Reflect.get(current(), name),
      }) as Client<Service>;
    },
    [Symbol.dispose]() {
      channel.close();
    },
  };
}

function openChannel(options: RpcConnectionOptions, tls: RpcClientTls): Channel {
  const credentials = ChannelCredentials.createSsl(
    tls.serverCa === undefined ? null : Buffer.from(tls.serverCa),
    tls.key === undefined ? null : Buffer.from(tls.key),
    tls.certificate === undefined ? null : Buffer.from(tls.certificate),
    {
      checkServerIdentity: (_host, certificate) => checkServer(options, certificate.raw),
      rejectUnauthorized: tls.serverCa !== undefined,
    },
  );
  return createChannel(toTarget(options.address), credentials, {
    // Each client begins at another one, so that the replicas share them.
    'grpc.service_config': JSON.stringify({
      loadBalancingConfig: [{ pick_first: { shuffleAddressList: true } }],
    }),
    'grpc.ssl_target_name_override': options.serverName,
    'grpc.default_authority': options.serverName,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 2_000,
    'grpc.max_receive_message_length': 8 << 20,
    'grpc.enable_http_proxy': 0,
    ...options.channelOptions,
  });
}

/** As gRPC's naming has it: <https://github.com/grpc/grpc/blob/master/doc/naming.md>. */
function toTarget(address: string | readonly string[]): string {
  if (typeof address === 'string') return address;
  const [first = '', ...others] = address;
  if (others.length === 0) return first;
  return `${first.startsWith('[') ? 'ipv6' : 'ipv4'}:${address.join(',')}`;
}

function checkServer(options: RpcConnectionOptions, raw: Buffer): Error | undefined {
  try {
    options.verifyServer(new X509Certificate(raw).raw);
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}

function mapErrors(timeoutMs: number) {
  return async function* <Request, Response>(
    call: ClientMiddlewareCall<Request, Response>,
    callOptions: CallOptions,
  ): AsyncGenerator<Response, Response | void, undefined> {
    const unary = !call.method.responseStream && !call.method.requestStream;
    const timeout = unary ? AbortSignal.timeout(timeoutMs) : undefined;
    const signals = [timeout, callOptions.signal].filter((signal) => signal !== undefined);
    let trailer: Parameters<NonNullable<CallOptions['onTrailer']>>[0] | undefined;
    const withTrailer: CallOptions = {
      ...callOptions,
      ...(signals.length === 0 ? {} : { signal: AbortSignal.any(signals) }),
      onTrailer(metadata) {
        trailer = metadata;
        callOptions.onTrailer?.(metadata);
      },
    };
    try {
      return yield* call.next(call.request, withTrailer);
    } catch (thrown) {
      if (timeout?.aborted === true)
        throw fromServiceError(serviceError(14, 'no answer in time', undefined));
      if (!(thrown instanceof ClientError)) throw thrown;
      throw fromServiceError(
        serviceError(thrown.code, thrown.details, trailer?.get('gatehouse-error-bin')),
      );
    }
  };
}

function serviceError(code: number, details: string, raw: Uint8Array | undefined): ServiceError {
  const found = raw === undefined ? [] : [Buffer.from(raw)];
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only code, details and get() are read
  return Object.assign(new Error(details), {
    code,
    details,
    metadata: { get: () => found },
  }) as unknown as ServiceError;
}
