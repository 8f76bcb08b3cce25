/** What an rpc is to the service that offers it: who may call it, and a function. */
import type { GatehouseError } from '../errors/errors.js';
import type { Logger } from '../log/log.js';

/** Who may call a method. `service` is any kind of service. */
export type CallerRule =
  | 'anonymous'
  | 'user'
  | 'agent'
  | 'service'
  | 'service/auth'
  | 'service/proxy'
  | 'service/tunnel'
  | 'service/audit';

/** The least a server must know of a caller to apply {@link CallerRule}s; services use a richer type. */
export interface AnyCaller {
  readonly type: 'anonymous' | 'user' | 'agent' | 'service';
  readonly kind?: string;
}

export interface RpcContext<Caller> {
  readonly caller: Caller;
  /** `ip:port`, from the PROXY header where the listener takes one. */
  readonly clientAddress: string;
  /** Aborts when the caller is gone or its deadline is over. */
  readonly signal: AbortSignal;
  readonly requestId: string;
  readonly logger: Logger;
}

/** A call that was refused before its handler ran. */
export interface RpcRefusal<Caller> {
  /** Undefined: the certificate was not accepted. */
  readonly caller: Caller | undefined;
  readonly clientAddress: string;
  /** `package.Service/Method`. */
  readonly method: string;
  readonly error: GatehouseError;
}

export interface MethodShape {
  readonly name: string;
  readonly requestType: MessageShape;
  readonly responseType: MessageShape;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

export interface MessageShape {
  // oxlint-disable-next-line typescript/no-explicit-any -- the shape of every generated message codec
  encode(message: any): { finish(): Uint8Array };
  // oxlint-disable-next-line typescript/no-explicit-any -- as above
  decode(bytes: Uint8Array): any;
  // oxlint-disable-next-line typescript/no-explicit-any -- as above
  fromPartial(partial: any): any;
}

export interface ServiceShape {
  readonly fullName: string;
  readonly methods: Readonly<Record<string, MethodShape>>;
}

type Message<Codec> = Codec extends { decode(...args: never[]): infer M } ? M : never;
type Partially<Codec> = Codec extends { fromPartial(partial: infer P): unknown } ? P : never;

/** One rpc: who may call it, and what it does. Errors are thrown domain errors. */
export type RpcHandler<Caller, Method extends MethodShape> = {
  readonly callers: readonly CallerRule[];
  readonly handle: Method['responseStream'] extends true
    ? (
        request: Message<Method['requestType']>,
        context: RpcContext<Caller>,
      ) => AsyncIterable<Partially<Method['responseType']>>
    : (
        request: Message<Method['requestType']>,
        context: RpcContext<Caller>,
      ) => Promise<Partially<Method['responseType']>>;
};

export type RpcHandlers<Caller, Service extends ServiceShape> = {
  readonly [Name in keyof Service['methods']]: RpcHandler<Caller, Service['methods'][Name]>;
};

export interface BoundService<Caller> {
  readonly definition: ServiceShape;
  readonly handlers: Readonly<
    Record<string, { callers: readonly CallerRule[]; handle: LooseHandle<Caller> }>
  >;
}

export type LooseHandle<Caller> = (
  request: unknown,
  context: RpcContext<Caller>,
) => Promise<unknown> | AsyncIterable<unknown>;

/** Ties handlers to a generated service definition. A missing handler does not compile, and does not start. */
export function bindService<Caller extends AnyCaller, Service extends ServiceShape>(
  definition: Service,
  handlers: RpcHandlers<Caller, Service>,
): BoundService<Caller> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the mapped type above is the typed view of this record
  return { definition, handlers: handlers as unknown as BoundService<Caller>['handlers'] };
}

/** True where one of the rules names the caller. */
export function isCallerAllowed(rules: readonly CallerRule[], caller: AnyCaller): boolean {
  return rules.some(
    (rule) =>
      rule === caller.type ||
      (rule === 'anonymous' && caller.type !== 'service') ||
      rule === `${caller.type}/${caller.kind ?? ''}`,
  );
}
