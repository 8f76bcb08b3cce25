import { startTestAuth } from '@gatehouse/membership/testing';
import type { ReportSessionsRequest } from '@gatehouse/proto/auth/v1/cluster_service';
import { expect, it, onTestFinished } from 'vitest';

import { events } from '../events.js';
import { createTestHost, createTestPolicy } from './testing.js';

/** An auth-service that writes down what is reported and answers a report with a limit when it is told to: with yes, unless the limit is 1. */
async function startAuth() {
  const reports: ReportSessionsRequest[] = [];
  const counted = Promise.withResolvers<void>();
  const stack = new AsyncDisposableStack();
  onTestFinished(async () => stack.disposeAsync());
  const connection = await startTestAuth(stack, {
    async reportSessions(report) {
      reports.push(report);
      if (report.maxSessions > 0) await counted.promise;
      return { refused: report.maxSessions === 1 ? report.started.map(({ id }) => id) : [] };
    },
  });
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

it('ends a session that an administrator ended, and says who it was', async () => {
  const auth = await startAuth();
  const host = await createTestHost({ auth: auth.connection });
  onTestFinished(async () => host[Symbol.asyncDispose]());
  host.connect();
  await expect.poll(() => auth.reports.flatMap((report) => report.started).length).toBe(1);
  const name = auth.reports.flatMap((report) => report.started)[0]?.id ?? '';
  host.policy.change({ kind: 'session_end', name, document: { reason: 'ended_by', by: 'ada' } });
  await expect.poll(() => host.ends.map(({ reason }) => reason)).toEqual(['ended_by']);
  const ended = () => host.events().find(({ type }) => type === 'session.ended');
  await expect.poll(ended, { timeout: 10_000 }).toMatchObject({ reason: 'ended_by' });
  // Else the trail of the session does not say who cut it.
  expect(ended()?.data).toMatchObject({ by: 'ada' });
  expect(events['session.ended'].data.parse(ended()?.data)).toEqual(ended()?.data);
});

// Cursors on forbidden tables and a search path that leads elsewhere stayed usable.
it('ends a session of a database whose statements become restricted, and judges by the new rules until then', async () => {
  const auth = await startAuth();
  const policy = createTestPolicy({}, 'database');
  const host = await createTestHost({ policy, auth: auth.connection });
  onTestFinished(async () => host[Symbol.asyncDispose]());
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(1);
  policy.setStatements({});
  expect(host.sessions[0]?.signal.aborted).toBe(false);
  policy.setStatements({ db_statements: ['select'] });
  await expect
    .poll(() => host.ends)
    .toEqual([{ reason: 'policy', message: 'access changed: statements are restricted further' }]);
  expect(host.sessions[0]?.statements.allow).toMatchObject([{ statements: ['select'] }]);
});

it('leaves a session of a database open where more statements are allowed', async () => {
  const auth = await startAuth();
  const policy = createTestPolicy({}, 'database');
  policy.setStatements({ db_statements: ['select'] });
  const host = await createTestHost({ policy, auth: auth.connection });
  onTestFinished(async () => host[Symbol.asyncDispose]());
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(1);
  for (const db_statements of [['select', 'insert'], ['*', 'select', 'insert'], undefined])
    policy.setStatements(db_statements === undefined ? {} : { db_statements });
  expect(host.sessions[0]?.signal.aborted).toBe(false);
  expect(host.sessions[0]?.statements.allow).toMatchObject([{ statements: undefined }]);
});

it('leaves sessions without statements alone', async () => {
  const auth = await startAuth();
  const host = await createTestHost({ auth: auth.connection });
  onTestFinished(async () => host[Symbol.asyncDispose]());
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(1);
  host.policy.setStatements({ db_statements: ['select'] });
  expect(host.sessions[0]?.signal.aborted).toBe(false);
});
