/** auth-service as the CLI reaches it, call by call, through the proxy of one's choice. */
import { readFileSync } from 'node:fs';

import { createRpcConnection, type RpcConnection } from '@gatehouse/kit/rpc';

import type { Installation } from './installation.js';
import type { Person } from './person.js';

export interface RpcPlace {
  /** A proxy, the balancer, or auth-service's own listener. */
  readonly address: string;
  /** Default: auth-service. */
  readonly service?: 'auth' | 'audit' | 'tunnel';
}

/** With a person's certificate. */
export async function connectAs(person: Person, place: RpcPlace): Promise<RpcConnection> {
  const status = await person.json<Record<string, string>>(['status']);
  const read = (name: string) => readFileSync(status[name] ?? '', 'utf8');
  return createRpcConnection({
    ...nameOf(person.home, place),
    tls: { serverCa: read('caFile'), key: read('tlsKeyFile'), certificate: read('tlsCertFile') },
  });
}

/** With no certificate, and whoever answers is believed. */
export function connectAnonymously(home: Installation, place: RpcPlace): RpcConnection {
  return createRpcConnection({ ...nameOf(home, place), tls: { serverCa: undefined } });
}

function nameOf(home: Installation, { address, service = 'auth' }: RpcPlace) {
  return {
    address: address.replace('localhost', '127.0.0.1'),
    serverName: `${service}.${home.ready.clusterName}.gatehouse.internal`,
    verifyServer: () => undefined,
  };
}
