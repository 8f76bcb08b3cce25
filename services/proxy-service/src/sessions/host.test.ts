import { createRpcConnection } from '@gatehouse/kit/rpc';
import { parseLock, readLock } from '@gatehouse/policy';
import type { Session, SessionEvent } from '@gatehouse/protocol-api';
import { expect, it, onTestFinished, vi } from 'vitest';

import { events } from '../events.js';
import { createTestHost, createTestPolicy, type TestHostOptions } from './testing.js';

/** Nobody listens there: sessions go on without auth-service (D9). */
async function start(options: Omit<TestHostOptions, 'auth'> = {}) {
  const auth = createRpcConnection({
    address: '127.0.0.1:1',
    tls: { serverCa: undefined },
    serverName: 'auth',
    verifyServer: () => undefined,
    timeoutMs: 100,
  });
  const host = await createTestHost({ ...options, auth });
  onTestFinished(async () => host[Symbol.asyncDispose]());
  onTestFinished(() => auth[Symbol.dispose]());
  return host;
}

it('refuses a strict session in the protocol’s own words where the spool is full', async () => {
  const policy = createTestPolicy({ audit: 'strict' });
  const host = await start({ policy, limits: { eventsBytes: 64 * 1024 } });
  host.broker.isAway = true;
  const event = { type: 'test', outcome: 'success' as const, data: {} };
  while (!host.spool.state().full)
    host.spool.emit({ ...event, actor: { kind: 'user', name: 'a' } });
  const client = host.connect();
  await expect.poll(() => host.refused.length).toBe(1);
  const [error] = host.refused;
  expect(error).toMatchObject({
    code: 'AUDIT_UNAVAILABLE',
    publicMessage: 'audit is not available',
  });
  expect(error?.id).toMatch(/^err_/);
  expect(host.sessions).toEqual([]);
  await expect.poll(() => client.destroyed).toBe(true);
});

it('ends a session when max_session_ttl becomes shorter than it has lasted', async () => {
  let nowMs = Date.now();
  const clock = { now: () => nowMs, monotonic: () => performance.now() };
  const host = await start({ clock });
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(1);
  nowMs += 3_600_000;
  host.policy.setOptions({ max_session_ttl: '2h' });
  expect(host.ends).toEqual([]);
  host.policy.setOptions({ max_session_ttl: '30m' });
  await expect
    .poll(() => host.ends)
    .toEqual([{ reason: 'ttl', message: 'the session has reached its longest time' }]);
});

it('does not prolong a session when max_session_ttl grows', async () => {
  let nowMs = Date.now();
  const clock = { now: () => nowMs, monotonic: () => performance.now() };
  const host = await start({ clock, policy: createTestPolicy({ max_session_ttl: '1h' }) });
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(1);
  host.policy.setOptions({ max_session_ttl: '8h' });
  nowMs += 3_600_000;
  host.policy.setOptions({ max_session_ttl: '8h', idle_timeout: '7h' });
  await expect.poll(() => host.ends.map(({ reason }) => reason)).toEqual(['ttl']);
});

it('refuses a node to a role that asks for an end-to-end session, rather than inspect it', async () => {
  const host = await start({ policy: createTestPolicy({ ssh_session: 'end_to_end' }) });
  host.connect();
  await expect
    .poll(() => host.refused.map(({ code }) => code))
    .toEqual(['END_TO_END_NOT_AVAILABLE']);
  expect(host.sessions).toEqual([]);
  await expect
    .poll(() => host.events())
    .toMatchObject([{ type: 'session.denied', reason: 'end_to_end' }]);
});

it('opens no session while nobody can tell whom a lock names, and leaves open ones alone', async () => {
  const host = await start();
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(1);
  host.policy.locks.push(readLock({ spec: { target: { device: 'x' } } }, 'l'));
  host.policy.change({ kind: 'lock', name: 'l' });
  host.connect();
  await expect.poll(() => host.refused.map(({ code }) => code)).toEqual(['LOCK_UNREADABLE']);
  host.policy.locks.pop();
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(2);
  expect(host.ends).toEqual([]);
});

it('says in the audit that a strict command whose intent was not acknowledged in time did not run', async () => {
  let hasRun = false;
  const standing = Promise.withResolvers<void>();
  const policy = createTestPolicy({ audit: 'strict' });
  const host = await start({
    policy,
    serve: async (session) => {
      session.established();
      await standing.promise;
      const intent = { type: 'ssh.command_started', outcome: 'success', data: {} } as const;
      await session.perform(intent, async () => {
        hasRun = true;
        return { value: undefined, event: { ...intent, type: 'ssh.command_ended' } };
      });
      return 'client_left';
    },
  });
  host.connect();
  await expect.poll(() => host.events().length).toBe(1);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  host.broker.isAway = true;
  standing.resolve();
  await vi.advanceTimersByTimeAsync(10_000);
  host.broker.isAway = false;
  vi.useRealTimers();
  await expect
    .poll(() => host.events())
    .toMatchObject([
      { type: 'session.started' },
      { type: 'ssh.command_started' },
      { type: 'ssh.command_ended', outcome: 'failure', reason: 'audit_unavailable' },
      { type: 'session.ended' },
    ]);
  expect(hasRun).toBe(false);
});

it('lets whoever fills the spool wait, and goes on when there is room', async () => {
  let isThrough = false;
  const serve = async (session: Session) => {
    const statement = {
      type: 'db.commit_failed',
      outcome: 'failure',
      data: { error: 'x'.repeat(60_000) },
    } as const;
    session.established();
    expect(session.pace()).toBeUndefined();
    // A quarter of the spool, and what takes half a minute to allow.
    for (let count = 0; count < 1400; count += 1) session.emit(statement);
    expect(session.pace()).toBeDefined();
    await session.pace();
    isThrough = true;
    return 'client_left';
  };
  const host = await start({ policy: createTestPolicy(), serve });
  host.broker.isAway = true;
  host.connect();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(isThrough).toBe(false);
  host.broker.isAway = false;
  await expect.poll(() => isThrough, { timeout: 20_000 }).toBe(true);
});

it('performs nothing of what waited for room when the session is cut', async () => {
  let hasRun = false;
  let refusal: unknown;
  const serve = async (session: Session) => {
    session.established();
    const data = { error: 'x'.repeat(60_000) };
    for (let count = 0; count < 1400; count += 1)
      session.emit({ type: 'db.commit_failed', outcome: 'failure', data });
    const effect = async () => {
      hasRun = true;
      return { value: 1, event: ended };
    };
    const [started, ended] = (['ssh.command_started', 'ssh.command_ended'] as const).map(
      (type) => ({ type, outcome: 'success', data: {} }) as const,
    ) as [SessionEvent, SessionEvent];
    await session.perform(started, effect).catch((thrown: unknown) => (refusal = thrown));
    return 'client_left';
  };
  const host = await start({ policy: createTestPolicy(), serve });
  host.broker.isAway = true;
  host.connect();
  await expect.poll(() => host.live.size).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  host.live.endAll({ reason: 'lock', message: 'locked' });
  await expect.poll(() => refusal).toMatchObject({ code: 'SESSION_ENDED', reason: 'lock' });
  expect(hasRun).toBe(false);
});

it('keeps a strict connection that is not understood from its target until the event log has its start', async () => {
  let isThrough = false;
  const serve = async (session: Session) => {
    session.established();
    await session.acknowledged();
    isThrough = true;
    return 'client_left';
  };
  const host = await start({ policy: createTestPolicy({ audit: 'strict' }), serve });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  host.broker.isAway = true;
  host.connect();
  await vi.advanceTimersByTimeAsync(10_000);
  host.broker.isAway = false;
  vi.useRealTimers();
  await expect
    .poll(() => host.events())
    .toMatchObject([
      { type: 'session.started' },
      { type: 'session.ended', reason: 'audit_unavailable' },
    ]);
  expect(isThrough).toBe(false);
  host.connect();
  await expect.poll(() => isThrough).toBe(true);
});

it.each([
  ['ends a strict terminal', 'strict', 'audit_unavailable'],
  ['lets another terminal go on', 'best_effort', 'client_left'],
] as const)(
  '%s of which the event log has had nothing for ten seconds',
  async (_, audit, reason) => {
    const away = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const host = await start({
      policy: createTestPolicy({ audit }),
      serve: async (session) => {
        session.established();
        const recorder = session.record({ columns: 80, rows: 24 });
        await away.promise;
        recorder.output(Buffer.from('seen by nobody else'));
        session.signal.addEventListener('abort', () => ended.resolve(), { once: true });
        await ended.promise;
        return 'client_left';
      },
    });
    host.connect();
    await expect.poll(() => host.events().length).toBe(1);
    host.broker.isAway = true;
    const from = performance.now();
    away.resolve();
    if (audit === 'best_effort') setTimeout(() => ended.resolve(), 14_000);
    await ended.promise;
    expect(performance.now() - from).toBeGreaterThan(10_000);
    host.broker.isAway = false;
    await expect
      .poll(() => host.events().at(-1), { timeout: 10_000 })
      .toMatchObject({ type: 'session.ended', reason });
  },
  45_000,
);

it.each(['comes to its end', 'throws'])(
  'never says that a session started which was ended before its target was reached, where the facet %s',
  async (how) => {
    let isServing = false;
    const host = await start({
      serve: async ({ signal }) => {
        isServing = true;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        if (how === 'throws') throw new Error('the dial was aborted');
        return 'protocol';
      },
    });
    host.connect();
    await expect.poll(() => isServing).toBe(true);
    host.live.endAll({ reason: 'ended_by', message: 'ended by an administrator' });
    await expect
      .poll(() => host.events())
      .toMatchObject([
        {
          type: 'session.connect_failed',
          outcome: 'failure',
          reason: 'ended_by',
          data: { message: 'ended by an administrator', errorId: expect.stringMatching(/^err_/) },
        },
      ]);
    const data = host.events()[0]?.data;
    expect(events['session.connect_failed'].data.parse(data)).toEqual(data);
    await host.spool.flushed();
    expect(host.events()).toHaveLength(1);
  },
);

function lockOn(host: Awaited<ReturnType<typeof start>>, agent: string): void {
  const metadata = { name: `lock-${agent}` };
  const spec = { target: { agent }, message: 'incident 7' };
  host.policy.locks.push(parseLock({ kind: 'lock', version: 'v1', metadata, spec }));
  host.policy.change({ kind: 'lock', name: metadata.name });
}

it('ends sessions through a locked agent, and opens new ones while the group has another', async () => {
  const host = await start();
  host.policy.agents.push({ id: 'agt_1', name: 'web-a', group: 'web' });
  host.policy.agents.push({ id: 'agt_2', name: 'web-b', group: 'web' });
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(1);
  lockOn(host, 'agt_2');
  expect(host.ends).toEqual([]);
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(2);
  lockOn(host, 'WEB-A');
  const end = { reason: 'lock', message: 'locked: incident 7' };
  await expect.poll(() => host.ends).toEqual([end, end]);
  host.connect();
  await expect.poll(() => host.refused.map(({ code }) => code)).toEqual(['LOCKED']);
});

it('ends sessions of a locked group', async () => {
  const host = await start();
  host.connect();
  await expect.poll(() => host.sessions.length).toBe(1);
  lockOn(host, 'web');
  await expect.poll(() => host.ends.map(({ reason }) => reason)).toEqual(['lock']);
});

const started = { type: 'db.statement_started', outcome: 'success', data: { n: 1 } } as const;
const executed = { type: 'db.statement_executed', outcome: 'success', data: { n: 1 } } as const;
const types = (host: { events(): { type: string }[] }) => host.events().map(({ type }) => type);

it('makes one event of what is announced and finished, and none of what is abandoned', async () => {
  const host = await start({
    serve: async (session) => {
      const first = session.announce(started);
      expect(first.acknowledged).toBeUndefined();
      session.announce(started).abandon('skipped');
      first.finish(executed);
      first.finish(executed);
      return 'client_left';
    },
  });
  host.connect();
  await expect
    .poll(() => types(host))
    .toEqual(['session.started', 'db.statement_executed', 'session.ended']);
});

it('has an announced intent on the log before its effect where audit is strict, and answers each', async () => {
  const host = await start({
    policy: createTestPolicy({ audit: 'strict' }),
    serve: async (session) => {
      const first = session.announce(started);
      await first.acknowledged;
      expect(types(host)).toEqual(['session.started', 'db.statement_started']);
      first.finish(executed);
      const second = session.announce(started);
      await second.acknowledged;
      second.abandon('skipped');
      return 'client_left';
    },
  });
  host.connect();
  await expect
    .poll(() => host.events())
    .toMatchObject([
      { type: 'session.started' },
      { type: 'db.statement_started' },
      { type: 'db.statement_executed', outcome: 'success' },
      { type: 'db.statement_started' },
      { type: 'db.statement_executed', outcome: 'failure', reason: 'skipped' },
      { type: 'session.ended' },
    ]);
});

it('never takes a session for idle in which something is announced and not finished', async () => {
  let finish = (): void => undefined;
  const host = await start({
    policy: createTestPolicy({ idle_timeout: '1s' }),
    serve: async (session) => {
      const running = session.announce(started);
      finish = () => running.finish(executed);
      await new Promise((resolve) => session.signal.addEventListener('abort', resolve));
      return 'protocol';
    },
  });
  host.connect();
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(types(host)).toEqual(['session.started']);
  finish();
  await expect.poll(() => host.events().at(-1)).toMatchObject({ reason: 'idle' });
});

it('lets a patient protocol finish after a change of policy, and cuts it for a lock', async () => {
  const seen: string[] = [];
  const host = await start({
    patienceMs: 60_000,
    serve: async (session) => {
      session.established();
      session.signal.addEventListener('abort', () => seen.push('signal'));
      await new Promise((resolve) => session.cut.addEventListener('abort', resolve));
      seen.push('cut');
      return 'protocol';
    },
  });
  host.connect();
  await expect.poll(() => types(host)).toEqual(['session.started']);
  host.policy.setOptions({ max_session_ttl: '1s' });
  await expect.poll(() => seen).toEqual(['signal']);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(types(host)).toEqual(['session.started']);
  host.policy.locks.push(
    parseLock({
      kind: 'lock',
      version: 'v1',
      metadata: { name: 'l1' },
      spec: { target: { user: 'alice' }, message: 'incident 7' },
    }),
  );
  host.policy.change({ kind: 'lock', name: 'l1' });
  await expect.poll(() => seen).toEqual(['signal', 'cut']);
  await expect.poll(() => types(host)).toEqual(['session.started', 'session.ended']);
  expect(host.events().at(-1)).toMatchObject({
    reason: 'lock',
    data: { message: expect.stringContaining('incident 7') as string },
  });
});
