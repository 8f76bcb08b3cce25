/** Who is at the other end: connections of an agent end at auth-service or at a tunnel replica, never anywhere else. */
import { derToPem, verifyTlsCertificate, type ServiceKind } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { createRpcConnection, type RpcConnection } from '@gatehouse/kit/rpc';

import { agentError } from '../errors.js';
import type { Egress } from './egress.js';

export interface ServerCheck {
  readonly kind: ServiceKind;
  readonly clusterName: string;
  /** DER. */
  readonly hostTlsCa: readonly Buffer[];
  readonly clock: Pick<Clock, 'now'>;
}

/** The id of the service with this certificate, srv_…. @throws AGENT_WRONG_SERVER, or why the certificate is refused */
export function verifyService(certificate: Buffer, check: ServerCheck): string {
  const { kind, clusterName: cluster, hostTlsCa, clock } = check;
  const { part } = verifyTlsCertificate(certificate, {
    authorities: hostTlsCa,
    nowMs: clock.now(),
    toleranceMs: 120_000,
  });
  if (part?.type !== 'service' || part.kind !== kind || part.cluster !== cluster)
    throw agentError('AGENT_WRONG_SERVER', { details: { kind, cluster } });
  return part.id;
}

export function toPem(certificates: readonly Buffer[]): string {
  return certificates.map((der) => derToPem(der, 'CERTIFICATE')).join('');
}

/** auth-service through the public port, by server name (D18). Without a key: anonymous. */
export function connectToAuth(options: {
  readonly proxy: string;
  readonly clusterName: string;
  readonly clock: Pick<Clock, 'now'>;
  readonly privateKeyPem?: string;
  readonly certificate?: Buffer;
  readonly hostTlsCa: readonly Buffer[];
  readonly egress: Egress | undefined;
}): RpcConnection {
  const { proxy, egress, clusterName, clock, privateKeyPem, certificate, hostTlsCa } = options;
  return createRpcConnection({
    address: egress === undefined ? proxy : `${egress.host}:${egress.port}`,
    channelOptions: egressOptions(egress, proxy),
    tls: {
      serverCa: toPem(hostTlsCa),
      ...(privateKeyPem === undefined ? {} : { key: privateKeyPem }),
      ...(certificate === undefined ? {} : { certificate: toPem([certificate]) }),
    },
    serverName: `auth.${clusterName}.gatehouse.internal`,
    verifyServer: (der) => {
      verifyService(der, { kind: 'auth', clusterName, hostTlsCa, clock });
    },
  });
}

/** grpc-js opens the CONNECT itself; it only has to be told. */
function egressOptions(
  egress: Egress | undefined,
  proxy: string,
): NonNullable<Parameters<typeof createRpcConnection>[0]['channelOptions']> {
  if (egress === undefined) return {};
  const { credentials } = egress;
  return {
    'grpc.http_connect_target': `dns:${proxy}`,
    ...(credentials === undefined ? {} : { 'grpc.http_connect_creds': credentials.reveal() }),
  };
}
