/** Sessions whose proxy never came back: one end each, whoever writes it, and nothing of the proxy's is refused for it. */
import { systemClock } from '@gatehouse/kit/clock';
import type { AuditEvent } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import type { RpcConnection } from '@gatehouse/kit/rpc';
import { recoveredEventId } from '@gatehouse/kit/spool';
import { createMemoryEventLog } from '@gatehouse/kit/testing';
import { describe, expect, it, onTestFinished } from 'vitest';

import { endLostSessions } from '../src/events/lost-sessions.js';
import { cluster, filterOf, makeEvent, useAudit } from './support.js';

const wait = { timeout: 30_000, interval: 50 };

describe.each(['PGlite', 'PostgreSQL'] as const)('lost sessions on %s', (engine) => {
  const scene = useAudit(engine);

  const eventsOf = async (sessionId: string): Promise<AuditEvent[]> => {
    const { eventsJson } = await scene.carol.searchEvents({ filter: filterOf({ sessionId }) });
    const events = eventsJson.map((json) => JSON.parse(json) as AuditEvent);
    return events.toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0));
  };

  /** Two events of a session, stored. */
  async function begin(): Promise<string> {
    const sessionId = createId('ses');
    const target = { kind: 'node', name: 'web-1' };
    await scene.audit.publish([
      makeEvent({ type: 'session.started', sessionId, sequence: 1, target }),
      makeEvent({ sessionId, sequence: 2, target }),
    ]);
    await expect.poll(async () => (await eventsOf(sessionId)).length, wait).toBe(2);
    return sessionId;
  }

  /** A replica that looks; `live` is what auth-service knows of, undefined while it is away. */
  function look(
    live: () => readonly string[] | undefined,
    { missingMs = 100, isBehind = (): boolean => false } = {},
  ): void {
    const findLiveSessions = async ({ ids }: { ids: string[] }) => {
      const known = live();
      if (known === undefined) throw new Error('no auth-service');
      return Promise.resolve({ live: ids.filter((id) => known.includes(id)) });
    };
    const eventLog = createMemoryEventLog(scene.audit.broker);
    const behind = [{ partition: 0, end: 1n, taken: 0n }];
    const looking = endLostSessions(
      {
        clock: systemClock,
        clusterName: cluster,
        database: scene.place.database,
        eventLog: {
          ...eventLog,
          progress: async (topic, group) =>
            isBehind() ? Promise.resolve(behind) : eventLog.progress(topic, group),
        },
        logger: createLogger({ name: 'test', level: 'silent' }),
        replicaId: createId('srv'),
        auth: { client: () => ({ findLiveSessions }) } as unknown as RpcConnection,
      },
      { everyMs: 20, youngMs: 0, missingMs },
    );
    onTestFinished(() => looking[Symbol.dispose]());
  }

  it('end once, last and with their reason, whichever replicas look', async () => {
    const [lost, kept] = [await begin(), await begin()];
    for (let replica = 0; replica < 2; replica += 1) look(() => [kept]);
    await expect.poll(async () => (await eventsOf(lost)).length, wait).toBe(3);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const events = await eventsOf(lost);
    expect(events).toHaveLength(3);
    expect(events[2]).toMatchObject({
      id: recoveredEventId(lost, 'session.ended'),
      type: 'session.ended',
      sequence: 3,
      outcome: 'failure',
      reason: 'proxy_lost',
      actor: { kind: 'user', name: 'alice' },
      target: { name: 'web-1' },
      data: { synthesised: true },
    });
    expect(await eventsOf(kept)).toHaveLength(2);
  });

  it('end not while auth-service is away, nor when it knows them again in time', async () => {
    const session = await begin();
    let answer: readonly string[] | undefined;
    look(() => answer, { missingMs: 2_000 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    answer = [];
    await new Promise((resolve) => setTimeout(resolve, 300));
    answer = [session];
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await eventsOf(session)).toHaveLength(2);
  });

  it('end not while the store is behind the event log: their end may lie there', async () => {
    const session = await begin();
    let isBehind = true;
    look(() => [], { isBehind: () => isBehind });
    // Longer than a look waits for the store.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(await eventsOf(session)).toHaveLength(2);
    isBehind = false;
    await expect.poll(async () => (await eventsOf(session)).length, wait).toBe(3);
  });

  it('keep what their proxy had not sent, when it comes back after all', async () => {
    const session = await begin();
    look(() => []);
    await expect.poll(async () => (await eventsOf(session)).length, wait).toBe(3);
    await scene.audit.publish([
      makeEvent({ type: 'ssh.command_ended', sessionId: session, sequence: 3 }),
      makeEvent({
        id: recoveredEventId(session, 'session.ended'),
        type: 'session.ended',
        sessionId: session,
        sequence: 4,
      }),
    ]);
    await expect.poll(async () => (await eventsOf(session)).length, wait).toBe(4);
    const types = (await eventsOf(session)).map(({ type }) => type);
    expect(types.toSorted()).toEqual([
      'session.ended',
      'session.started',
      'ssh.command_ended',
      'ssh.command_started',
    ]);
    const { deadLetters } = await scene.carol.listDeadLetters({
      withReplayed: false,
      limit: 0,
      pageToken: '',
    });
    expect(deadLetters).toEqual([]);
  });

  it('are none of those whose start is stored after their end', async () => {
    const sessionId = createId('ses');
    const ended = makeEvent({ type: 'session.ended', sessionId, sequence: 2 });
    await scene.audit.publish([ended]);
    await expect.poll(async () => eventsOf(sessionId), wait).toHaveLength(1);
    // As a dead letter that is put back.
    await scene.audit.publish([makeEvent({ type: 'session.started', sessionId, sequence: 1 })]);
    await expect.poll(async () => eventsOf(sessionId), wait).toHaveLength(2);
    const open = async () =>
      scene.place.database
        .selectFrom('audit_open_session')
        .where('session_id', '=', sessionId)
        .selectAll()
        .execute();
    expect(await open()).toHaveLength(1);
    look(() => []);
    await expect.poll(open, wait).toEqual([]);
    expect(await eventsOf(sessionId)).toHaveLength(2);
  });
});
