import { derToPem } from '@gatehouse/identity';
import { createTestAuthorities, issueTestService } from '@gatehouse/identity/testing';
import { systemClock } from '@gatehouse/kit/clock';
import { bindService, createRpcConnection, createRpcServer } from '@gatehouse/kit/rpc';
import { createIdentifier, type Caller } from '@gatehouse/membership';
import {
  ClusterServiceDefinition,
  type ReportSessionsRequest,
} from '@gatehouse/proto/auth/v1/cluster_service';
import { expect, it, onTestFinished } from 'vitest';

import { events } from '../events.js';
import { createTestHost, createTestPolicy, testLogger } from './testing.js';

async function* silence(): AsyncGenerator<never> {}

const refuse = async (): Promise<never> => Promise.reject(new Error('not here'));

/** An auth-service that writes down what is reported and answers a report with a limit when it is told to: with yes, unless the limit is 1. */
async function startAuth() {
  const authorities = await createTestAuthorities('test');
  const own = await issueTestService(authorities, 'auth');
  const proxy = await issueTestService(authorities, 'proxy');
  const ca = derToPem(authorities.hostTls.certificate, 'CERTIFICATE');
  const reports: ReportSessionsRequest[] = [];
  const counted = Promise.withResolvers<void>();
  const service = bindService<Caller, typeof ClusterServiceDefinition>(ClusterServiceDefinition, {
    watch: { callers: ['service'], handle: () => silence() },
    registerAgent: { callers: ['service'], handle: refuse },
    reportAgents: { callers: ['service'], handle: refuse },
    reportSessions: {
      callers: ['service/proxy'],
      async handle(report) {
        reports.push(report);
        if (report.maxSessions > 0) await counted.promise;
        const refused = report.maxSessions === 1 ? report.started.map(({ id }) => id) : [];
        return { refused, leaseUntil: undefined };
      },
    },
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
    logger: testLogger,
  });
  onTestFinished(async () => server[Symbol.asyncDispose]());
  const connection = createRpcConnection({
    address: `127.0.0.1:${server.address.port}`,
    tls: {
      serverCa: ca,
      key: proxy.privateKeyPem,
      certificate: derToPem(proxy.certificate, 'CERTIFICATE'),
    },
    serverName: 'auth',
    verifyServer: () => undefined,
  });
  onTestFinished(() => connection[Symbol.dispose]());
  return { connection, reports, count: () => counted.resolve() };
}

it('never takes away by a complete report a session that is just being counted', async () => {
  const auth = await startAuth();
  const policy = createTestPolicy({ max_sessions: 3 });
  const host = await createTestHost({ policy, auth: auth.connection });
  onTestFinished(async () => host[Symbol.asyncDispose]());
  host.connect();
  await expect.poll(() => auth.reports.some((report) => report.maxSessions === 3)).toBe(true);
  const counting = auth.reports.find((report) => report.maxSessions === 3)?.started[0];
  // The first report of a start is a complete one.
  await expect.poll(() => auth.reports.some((report) => report.complete)).toBe(true);
  const complete = auth.reports.find((report) => report.complete);
  expect(complete?.started).toEqual([]);
  expect(complete?.takenAt?.getTime()).toBeLessThanOrEqual(counting?.startedAt?.getTime() ?? 0);
  auth.count();
  await expect.poll(() => host.sessions.length).toBe(1);
});

it('denies a session beyond the limit; that the limit was reached is auth-service’s to say', async () => {
  const auth = await startAuth();
  const policy = createTestPolicy({ max_sessions: 1 });
  const host = await createTestHost({ policy, auth: auth.connection });
  onTestFinished(async () => host[Symbol.asyncDispose]());
  auth.count();
  host.connect();
  await expect.poll(() => host.refused.map(({ code }) => code)).toEqual(['SESSION_LIMIT']);
  await expect
    .poll(() => host.events())
    .toMatchObject([{ type: 'session.denied', outcome: 'denied', reason: 'max_sessions' }]);
  const data = host.events()[0]?.data;
  expect(events['session.denied'].data.parse(data)).toEqual(data);
});

it('ends a session that an administrator ended', async () => {
  const auth = await startAuth();
  const host = await createTestHost({ auth: auth.connection });
  onTestFinished(async () => host[Symbol.asyncDispose]());
  host.connect();
  await expect.poll(() => auth.reports.flatMap((report) => report.started).length).toBe(1);
  const name = auth.reports.flatMap((report) => report.started)[0]?.id ?? '';
  host.policy.change({ kind: 'session_end', name, document: { reason: 'ended_by', by: 'ada' } });
  await expect.poll(() => host.ends.map(({ reason }) => reason)).toEqual(['ended_by']);
});
