/** gRPC clients of auth-service and audit-service, reached through the one port by SNI (D18). */
import { pemToDer, verifyTlsCertificate } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { toGatehouseError } from '@gatehouse/kit/errors';
import { createRpcConnection, type RpcConnection } from '@gatehouse/kit/rpc';
import {
  AuditServiceDefinition,
  type AuditServiceClient,
} from '@gatehouse/proto/audit/v1/audit_service';
import {
  AdministrationServiceDefinition,
  type AdministrationServiceClient,
} from '@gatehouse/proto/auth/v1/administration_service';
import {
  LoginServiceDefinition,
  type LoginServiceClient,
} from '@gatehouse/proto/auth/v1/login_service';

import type { GlobalCall } from '../command.js';
import { cliError } from '../errors.js';
import type { ProxyAddress } from '../profile/address.js';
import { checkHome } from '../profile/files.js';
import { chooseCluster } from '../profile/known-clusters.js';
import { findHome } from '../profile/paths.js';
import { checkNotExpired, readLogin, readTlsMaterial, type Login } from '../profile/profile.js';
import { describeNetworkError } from './network-errors.js';

/** Where a service is reached, how it is recognised, and who asks. */
export interface ConnectionTarget {
  readonly address: ProxyAddress;
  readonly cluster: string;
  /** Certificates of host_tls CAs, PEM. */
  readonly ca: string;
  /** Key and certificate of the person, PEM; none: anonymous. */
  readonly identity?: { readonly key: string; readonly certificate: string };
  readonly clock: Clock;
}

/** Opens a connection to a service of the cluster. */
function connectService(service: 'auth' | 'audit', target: ConnectionTarget): RpcConnection {
  const { address, cluster, ca, identity } = target;
  const authorities = pemToDer(ca);
  return createRpcConnection({
    address: address.text,
    serverName: `${service}.${cluster}.gatehouse.internal`,
    tls: { serverCa: ca, ...identity },
    verifyServer(certificate) {
      const { part } = verifyTlsCertificate(certificate, {
        authorities,
        nowMs: target.clock.now(),
        toleranceMs: 120_000,
      });
      if (part?.type !== 'service' || part.kind !== service || part.cluster !== cluster) {
        throw new Error(`what answers is not ${service}-service of cluster ${cluster}`);
      }
    },
  });
}

/** What a command that needs a login works with. */
export interface Session {
  readonly home: string;
  readonly address: ProxyAddress;
  readonly login: Login;
  readonly target: ConnectionTarget;
}

/** The cluster that is meant and the profile directory, checked. */
export function openHome(
  { environment, options }: GlobalCall,
  create = false,
): { home: string; address: ProxyAddress } {
  const home = findHome({ variables: environment.variables, home: options.home });
  checkHome(home, create);
  return { home, address: chooseCluster(home, environment.variables, options.proxy) };
}

/** The login that a command acts with. @throws NO_CLUSTER, NOT_LOGGED_IN, LOGIN_EXPIRED, HOME_UNSAFE */
export function openSession(call: GlobalCall): Session {
  const { home, address } = openHome(call);
  const login = readLogin(home, address.text);
  checkNotExpired(login.profile, call.environment.clock.now());
  const { key, certificate, ca } = readTlsMaterial(login);
  return {
    home,
    address,
    login,
    target: {
      address,
      ca,
      cluster: login.profile.cluster,
      identity: { key, certificate },
      clock: call.environment.clock,
    },
  };
}

/** Runs `use` with a client of the administration API, as the person logged in. */
export async function withAdministration<T>(
  call: GlobalCall,
  use: (client: AdministrationServiceClient) => Promise<T>,
): Promise<T> {
  const { target } = openSession(call);
  return withConnection('auth', target, (connection) =>
    use(connection.client(AdministrationServiceDefinition)),
  );
}

/** Runs `use` with a client of the audit API, as the person logged in. */
export async function withAudit<T>(
  call: GlobalCall,
  use: (client: AuditServiceClient) => Promise<T>,
): Promise<T> {
  const { target } = openSession(call);
  return withConnection('audit', target, (connection) =>
    use(connection.client(AuditServiceDefinition)),
  );
}

/** Runs `use` with a client of the login API; anonymous where the target has no identity. */
export async function withLoginService<T>(
  target: ConnectionTarget,
  use: (client: LoginServiceClient) => Promise<T>,
): Promise<T> {
  return withConnection('auth', target, (connection) =>
    use(connection.client(LoginServiceDefinition)),
  );
}

async function withConnection<T>(
  service: 'auth' | 'audit',
  target: ConnectionTarget,
  use: (connection: RpcConnection) => Promise<T>,
): Promise<T> {
  using connection = connectService(service, target);
  try {
    return await use(connection);
  } catch (thrown) {
    throw await explainFailure(thrown, target);
  }
}

/** gRPC says only "unavailable": whether the port answers at all is asked for once more. */
async function explainFailure(thrown: unknown, { address }: ConnectionTarget): Promise<Error> {
  const error = toGatehouseError(thrown);
  if (error.code !== 'RPC_UNAVAILABLE') return error;
  const why = await probe(address);
  if (why === undefined) return error;
  return cliError('PROXY_UNREACHABLE', { details: { proxy: address.text, why }, cause: thrown });
}

/** Why no connection to the address stands, else undefined. */
async function probe(address: ProxyAddress): Promise<string | undefined> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect({ host: address.host, port: address.port, timeout: 3000 });
    const done = (why: string | undefined) => {
      socket.destroy();
      resolve(why);
    };
    socket.once('connect', () => done(undefined));
    socket.once('timeout', () => done('timed out'));
    socket.once('error', (thrown) => done(describeNetworkError(thrown)));
  });
}
