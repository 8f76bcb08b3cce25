/** One call's way: caller from the client certificate → the method's `callers` → decode → handler → encode. */
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type sendUnaryData,
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';

import { GatehouseError, toGatehouseError } from '../errors/errors.js';
import { createId } from '../ids/ids.js';
import type { Logger } from '../log/log.js';
import {
  isCallerAllowed,
  type AnyCaller,
  type BoundService,
  type CallerRule,
  type LooseHandle,
  type MessageShape,
  type RpcContext,
  type RpcRefusal,
} from './handlers.js';
import { toStatus } from './status.js';

/** What calls need of their server. */
export interface CallOptions<Caller extends AnyCaller> {
  identify(certificate: Buffer | undefined): Caller;
  readonly logger: Logger;
  readonly onRefused?: ((refusal: RpcRefusal<Caller>) => void) | undefined;
  /** The certificate of a peer that TLS itself did not accept; grpc-js takes such a peer for one without any. */
  strangerAt?(peer: string): Buffer | undefined;
  /** Client address of a peer (`call.getPeer()`). */
  addressOf(peer: string): string;
}

/** Adds a bound service to a grpc-js server. @throws where a method says not who may call it */
export function addService<Caller extends AnyCaller>(
  server: Server,
  service: BoundService<Caller>,
  options: CallOptions<Caller>,
): void {
  const { fullName, methods } = service.definition;
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const [name, method] of Object.entries(methods)) {
    const handler = service.handlers[name];
    if (handler === undefined || handler.callers.length === 0)
      throw new Error(`${fullName}/${method.name} says not who may call it`);
    definition[name] = {
      path: `/${fullName}/${method.name}`,
      requestStream: method.requestStream,
      responseStream: method.responseStream,
      requestDeserialize: (bytes: Buffer): unknown => method.requestType.decode(bytes),
      requestSerialize: (): Buffer => Buffer.alloc(0),
      responseSerialize: (message: unknown) => encodeMessage(method.responseType, message),
      responseDeserialize: (): unknown => undefined,
    };
    const call = { name: `${fullName}/${method.name}`, handler, options };
    implementation[name] = method.responseStream ? serveStream(call) : serveUnary(call);
  }
  server.addService(definition, implementation);
}

function encodeMessage(codec: MessageShape, message: unknown): Buffer {
  const bytes = codec.encode(codec.fromPartial(message)).finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

interface Call<Caller extends AnyCaller> {
  readonly name: string;
  readonly handler: { callers: readonly CallerRule[]; handle: LooseHandle<Caller> };
  readonly options: CallOptions<Caller>;
}

type AnyServerCall = Pick<ServerUnaryCall<unknown, unknown>, 'getAuthContext' | 'getPeer' | 'on'>;

function openContext<Caller extends AnyCaller>(
  call: Call<Caller>,
  raw: AnyServerCall,
): RpcContext<Caller> {
  let caller: Caller | undefined;
  try {
    const accepted = raw.getAuthContext()?.sslPeerCertificate?.raw;
    caller = call.options.identify(accepted ?? call.options.strangerAt?.(raw.getPeer()));
    return admit(call, raw, caller);
  } catch (thrown) {
    const error = toGatehouseError(thrown);
    const clientAddress = call.options.addressOf(raw.getPeer());
    call.options.onRefused?.({ caller, clientAddress, method: call.name, error });
    throw error;
  }
}

function admit<Caller extends AnyCaller>(
  call: Call<Caller>,
  raw: AnyServerCall,
  caller: Caller,
): RpcContext<Caller> {
  const requestId = createId('req');
  const logger = call.options.logger.child({ requestId, rpc: call.name });
  const abort = new AbortController();
  raw.on('cancelled', () =>
    abort.abort(new GatehouseError('unavailable', 'CALL_CANCELLED', 'the caller is gone')),
  );
  if (!isCallerAllowed(call.handler.callers, caller)) {
    throw new GatehouseError(
      'permission_denied',
      'CALLER_REFUSED',
      `${caller.type} may not call ${call.name}`,
      {
        publicMessage:
          caller.type === 'anonymous'
            ? 'a certificate is needed; run gate login'
            : 'this certificate may not do that',
        reason: 'wrong_kind',
      },
    );
  }
  return {
    caller,
    clientAddress: call.options.addressOf(raw.getPeer()),
    signal: abort.signal,
    requestId,
    logger,
  };
}

function failed<Caller extends AnyCaller>(call: Call<Caller>, thrown: unknown) {
  const error = toGatehouseError(thrown);
  const level = error.kind === 'internal' ? 'error' : 'info';
  call.options.logger[level]({ err: error, rpc: call.name }, 'call failed');
  return toStatus(error);
}

function serveUnary<Caller extends AnyCaller>(
  call: Call<Caller>,
): handleUnaryCall<unknown, unknown> {
  return (raw: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => {
    const answer = async (): Promise<unknown> => {
      const result = call.handler.handle(raw.request, openContext(call, raw));
      return Symbol.asyncIterator in result ? undefined : result;
    };
    answer().then(
      (response) => done(null, response),
      (thrown: unknown) => done(failed(call, thrown)),
    );
  };
}

function serveStream<Caller extends AnyCaller>(
  call: Call<Caller>,
): handleServerStreamingCall<unknown, unknown> {
  return (raw: ServerWritableStream<unknown, unknown>) => {
    raw.on('error', () => raw.destroy());
    const pump = async (): Promise<void> => {
      const context = openContext(call, raw);
      const messages = call.handler.handle(raw.request, context);
      if (!(Symbol.asyncIterator in messages)) return;
      for await (const message of messages) {
        if (context.signal.aborted) return;
        if (!raw.write(message)) await drained(raw, context.signal);
      }
    };
    pump().then(
      () => raw.end(),
      (thrown: unknown) => {
        if (!raw.destroyed) raw.emit('error', failed(call, thrown));
      },
    );
  };
}

async function drained(stream: NodeJS.WritableStream, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      stream.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    stream.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
  });
}
