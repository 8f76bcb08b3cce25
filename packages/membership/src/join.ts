/**
 * How a service becomes part of a cluster and stays so (D17): join secret → certificate → renewed at half life, and
 * connections to the other services with it. auth-service signs its own; agents join by token (apps/agent).
 */
import { derToPem, verifyPartCertificate, type ServiceKind } from '@gatehouse/identity';
import { sleep, type Clock } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import {
  bulkWindowBytes,
  createRpcConnection,
  type RpcClientTls,
  type RpcConnection,
  type TlsMaterial,
} from '@gatehouse/kit/rpc';
import { TrustBundle } from '@gatehouse/proto/auth/v1/trust';

import { createIdentifier, type Caller } from './caller.js';
import {
  enroll,
  obtainCredentials,
  storeCredentials,
  type Credentials,
  type JoinOptions,
} from './enroll.js';
import { membershipError } from './errors.js';

export interface Membership extends AsyncDisposable {
  /** srv_…, one start of this replica. */
  readonly replicaId: string;
  readonly clusterName: string;
  /** auth-service's internal listener. */
  readonly auth: RpcConnection;
  /** For rpc servers of this service. */
  tls(): TlsMaterial;
  /** The private key (PEM) and certificate (DER) that sign grants. */
  signer(): { readonly privateKeyPem: string; readonly certificate: Buffer };
  trust(): TrustBundle;
  /** Takes news of the trusted keys from the watch. */
  setTrust(trust: TrustBundle): void;
  /** Called after every renewal and change of trust. */
  onChange(listener: () => void): void;
  identify(certificate: Buffer | undefined): Caller;
  /** The own certificate has ended; nobody takes it any more. */
  isExpired(): boolean;
  /** A connection to another service; its certificate must say that it is of `kind`. Closed with the membership, or before. */
  connect(options: ConnectOptions): RpcConnection;
}

interface ConnectOptions {
  /** `host:port`, or several of which any will do. */
  readonly address: string | readonly string[];
  readonly kind: ServiceKind;
}

/** Joins; waits for auth-service with back-off. @throws ENROLLMENT_REFUSED where the secret is wrong */
export async function joinCluster(options: JoinOptions): Promise<Membership> {
  return new ClusterMembership(options, await obtainCredentials(options));
}

class ClusterMembership implements Membership {
  readonly replicaId: string;
  readonly clusterName: string;
  readonly auth: RpcConnection;
  readonly identify: Membership['identify'];
  #credentials: Credentials;
  readonly #options: JoinOptions;
  readonly #connections = new Set<RpcConnection>();
  readonly #listeners: (() => void)[] = [];
  readonly #stop = new AbortController();

  constructor(options: JoinOptions, credentials: Credentials) {
    this.#options = options;
    this.#credentials = credentials;
    this.replicaId = credentials.replicaId;
    this.clusterName = options.clusterName;
    this.auth = this.connect({ address: options.authAddress, kind: 'auth' });
    this.identify = createIdentifier({
      clusterName: options.clusterName,
      clock: options.clock,
      trust: () => this.#credentials.trust,
    });
    runInBackground(() => this.#renewForEver(), options.logger, 'certificate renewal stopped');
  }

  tls(): TlsMaterial {
    const { privateKeyPem, certificate, trust } = this.#credentials;
    return {
      key: privateKeyPem,
      certificate: derToPem(certificate, 'CERTIFICATE'),
      clientCa: toPem([...trust.hostTlsCa, ...trust.userTlsCa]),
    };
  }

  signer(): { privateKeyPem: string; certificate: Buffer } {
    return this.#credentials;
  }

  trust(): TrustBundle {
    return this.#credentials.trust;
  }

  setTrust(trust: TrustBundle): void {
    if (isSameTrust(trust, this.#credentials.trust)) return;
    this.#use({ ...this.#credentials, trust });
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  isExpired(): boolean {
    return this.#credentials.validUntilMs <= this.#options.clock.now();
  }

  connect({ address, kind }: ConnectOptions): RpcConnection {
    const { clusterName, clock } = this.#options;
    const connection = createRpcConnection({
      address,
      tls: clientTls(this.#credentials),
      serverName: `${kind}.${clusterName}.gatehouse.internal`,
      ...(kind === 'tunnel'
        ? {
            channelOptions: {
              'grpc-node.flow_control_window': bulkWindowBytes,
              // Soon again: a replica that comes back may have all agents of the one that goes next.
              'grpc.max_reconnect_backoff_ms': 500,
            },
          }
        : {}),
      verifyServer: (certificate) =>
        verifyServer(certificate, { kind, clusterName, clock, trust: this.#credentials.trust }),
    });
    const close = connection[Symbol.dispose].bind(connection);
    connection[Symbol.dispose] = () => {
      this.#connections.delete(connection);
      close();
    };
    this.#connections.add(connection);
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const connection of this.#connections) connection[Symbol.dispose]();
  }

  #use(credentials: Credentials): void {
    this.#credentials = credentials;
    storeCredentials(this.#options, credentials);
    for (const connection of this.#connections) connection.replaceTls(clientTls(credentials));
    for (const listener of this.#listeners) listener();
  }

  async #renewForEver(): Promise<void> {
    const { logger, clock } = this.#options;
    while (!this.#stop.signal.aborted) {
      await sleep(renewalDelayMs(this.#credentials, clock), this.#stop.signal).catch(
        () => undefined,
      );
      if (this.#stop.signal.aborted) return;
      try {
        this.#use(await enroll(this.#options, this.replicaId));
      } catch (thrown) {
        logger.warn({ err: thrown }, 'certificate renewal failed');
      }
    }
  }
}

function isSameTrust(a: TrustBundle, b: TrustBundle): boolean {
  return Buffer.from(TrustBundle.encode(a).finish()).equals(TrustBundle.encode(b).finish());
}

function toPem(certificates: readonly Buffer[]): string {
  return certificates.map((der) => derToPem(der, 'CERTIFICATE')).join('');
}

function clientTls(credentials: Credentials): RpcClientTls {
  return {
    serverCa: toPem(credentials.trust.hostTlsCa),
    key: credentials.privateKeyPem,
    certificate: derToPem(credentials.certificate, 'CERTIFICATE'),
  };
}

function verifyServer(
  certificate: Buffer,
  expected: { kind: ServiceKind; clusterName: string; clock: Clock; trust: TrustBundle },
): void {
  const { kind, clusterName, clock, trust } = expected;
  const { part } = verifyPartCertificate(certificate, {
    userAuthorities: [],
    hostAuthorities: trust.hostTlsCa,
    nowMs: clock.now(),
  });
  if (part.type === 'service' && part.kind === kind && part.cluster === clusterName) return;
  throw membershipError('WRONG_SERVER', { details: { kind, cluster: clusterName } });
}

/** Half of what is left, at least a minute, at most what timers take. */
function renewalDelayMs(credentials: Credentials, clock: Clock): number {
  const leftMs = credentials.validUntilMs - clock.now();
  return Math.min(Math.max(leftMs / 2, 60_000), 2 ** 31 - 1);
}
