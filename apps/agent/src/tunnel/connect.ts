/** One outgoing connection to a tunnel replica through the public port. */
import { once } from 'node:events';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';

import type { Clock } from '@gatehouse/kit/clock';
import { tunnelAlpn } from '@gatehouse/tunnel';

import { connectThrough, type Egress } from '../join/egress.js';
import { toPem, verifyService } from '../join/servers.js';
import type { AgentState } from '../join/state.js';

export interface TunnelSocket {
  readonly socket: TLSSocket;
  /** From the replica's certificate, srv_…. */
  readonly replicaId: string;
}

export interface ConnectOptions {
  /** Undefined: any replica. */
  readonly replicaId: string | undefined;
  readonly clock: Pick<Clock, 'now'>;
  readonly signal: AbortSignal;
  readonly egress: Egress | undefined;
  /** For TCP and TLS together. */
  readonly timeoutMs: number;
}

/** The proxy does not reach the replica that was named (RFC 6066 §3, unrecognized_name). */
export function isReplicaAway(thrown: unknown): boolean {
  return (
    thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME'
  );
}

/** @throws the socket's error, AGENT_WRONG_SERVER, or the signal's reason */
export async function connectTunnel(
  state: AgentState,
  options: ConnectOptions,
): Promise<TunnelSocket> {
  const { clusterName, trust, proxy } = state;
  const { replicaId, clock, timeoutMs } = options;
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMs)]);
  const at = proxy.lastIndexOf(':');
  const outer = options.egress && (await connectThrough(options.egress, proxy, signal));
  const found = { replicaId: '' };
  const prefix = replicaId === undefined ? '' : `${replicaId}.`;
  const settings: ConnectionOptions & { allowHalfOpen: boolean } = {
    ...(outer
      ? { socket: outer }
      : { host: proxy.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(proxy.slice(at + 1)) }),
    servername: `${prefix}tunnel.${clusterName}.gatehouse.internal`,
    ALPNProtocols: [tunnelAlpn],
    key: state.privateKeyPem,
    cert: toPem([state.certificate]),
    ca: toPem(trust.hostTlsCa),
    minVersion: 'TLSv1.3',
    allowHalfOpen: true,
    checkServerIdentity(_host, certificate) {
      try {
        const check = { kind: 'tunnel', clusterName, clock, hostTlsCa: trust.hostTlsCa } as const;
        found.replicaId = verifyService(certificate.raw, check);
        return undefined;
      } catch (thrown) {
        return thrown instanceof Error ? thrown : new Error(String(thrown));
      }
    },
  };
  const socket = connect(settings);
  socket.on('error', () => undefined);
  try {
    await once(socket, 'secureConnect', { signal });
    if (socket.alpnProtocol !== tunnelAlpn) throw new Error('the other end speaks no tunnel');
    return { socket, replicaId: found.replicaId };
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
}
