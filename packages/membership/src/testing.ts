/** What tests need of membership: an auth-service of their own words, reached over real mTLS. */
import { derToPem } from '@gatehouse/identity';
import { createTestAuthorities, issueTestService } from '@gatehouse/identity/testing';
import { systemClock } from '@gatehouse/kit/clock';
import { createLogger } from '@gatehouse/kit/log';
import {
  bindService,
  createRpcConnection,
  createRpcServer,
  type RpcConnection,
} from '@gatehouse/kit/rpc';
import {
  ClusterServiceDefinition,
  type DeepPartial,
  type ReportSessionsRequest,
  type ReportSessionsResponse,
  type WatchResponse,
} from '@gatehouse/proto/auth/v1/cluster_service';

import { createIdentifier, type Caller } from './caller.js';

export interface TestAuthAnswers {
  /** What a watcher hears; nothing by default. */
  readonly watch?: (signal: AbortSignal) => AsyncGenerator<DeepPartial<WatchResponse>>;
  readonly reportSessions?: (
    report: ReportSessionsRequest,
  ) => Promise<DeepPartial<ReportSessionsResponse>>;
}

async function* silence(): AsyncGenerator<never> {}

const refuse = async (): Promise<never> => Promise.reject(new Error('not here'));

/**
 * Starts it and connects to it as a proxy; everything belongs to `stack`. An rpc without an answer fails.
 */
export async function startTestAuth(
  stack: AsyncDisposableStack,
  answers: TestAuthAnswers,
): Promise<RpcConnection> {
  const authorities = await createTestAuthorities('test');
  const own = await issueTestService(authorities, 'auth');
  const proxy = await issueTestService(authorities, 'proxy');
  const ca = derToPem(authorities.hostTls.certificate, 'CERTIFICATE');
  const service = bindService<Caller, typeof ClusterServiceDefinition>(ClusterServiceDefinition, {
    watch: {
      callers: ['service/proxy'],
      handle: (_request, { signal }) => answers.watch?.(signal) ?? silence(),
    },
    registerAgent: { callers: ['service'], handle: refuse },
    reportAgents: { callers: ['service'], handle: refuse },
    findLiveSessions: { callers: ['service'], handle: refuse },
    reportSessions: { callers: ['service/proxy'], handle: answers.reportSessions ?? refuse },
  });
  const trust = {
    clusterName: 'test',
    userTlsCa: [],
    hostTlsCa: [authorities.hostTls.certificate],
    userSsh: [],
    targetSsh: [],
    hostSsh: [],
  };
  const server = await createRpcServer({
    host: '127.0.0.1',
    port: 0,
    tls: {
      key: own.privateKeyPem,
      certificate: derToPem(own.certificate, 'CERTIFICATE'),
      clientCa: ca,
    },
    services: [service],
    identify: createIdentifier({ clusterName: 'test', clock: systemClock, trust: () => trust }),
    logger: createLogger({ name: 'test', level: 'silent' }),
  });
  stack.use(server);
  return stack.use(
    createRpcConnection({
      address: `127.0.0.1:${server.address.port}`,
      tls: {
        serverCa: ca,
        key: proxy.privateKeyPem,
        certificate: derToPem(proxy.certificate, 'CERTIFICATE'),
      },
      serverName: 'auth',
      verifyServer: () => undefined,
    }),
  );
}
