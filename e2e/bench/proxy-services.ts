/** What the host lends to a facet, for one that is measured alone. */
import { systemClock } from '@gatehouse/kit/clock';
import { createLogger } from '@gatehouse/kit/log';
import type { ProxyCredentials, ProxyServices } from '@gatehouse/protocol-api';

export function createProxyServices(credentials: ProxyCredentials): ProxyServices {
  return {
    clock: systemClock,
    logger: createLogger({ name: 'relay', level: 'silent' }),
    clusterName: 'bench',
    replicaId: 'srv_1',
    replicas: { tell: () => undefined, onTold: () => undefined },
    publicNames: ['127.0.0.1'],
    credentials,
  };
}
