import { setTimeout as sleep } from 'node:timers/promises';

import { topics, type AuditEvent } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createMemoryEventLog } from '@gatehouse/kit/testing';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  filterOf,
  lockUser,
  makeEvent,
  openPlace,
  startAudit,
  type AuditClient,
  type TestAudit,
  type TestDatabasePlace,
  withoutTable,
} from './support.js';

const wait = { timeout: 10_000, interval: 20 };

const parse = (json: string) => JSON.parse(json) as AuditEvent;

async function search(
  client: AuditClient,
  fields: Parameters<typeof filterOf>[0] = {},
  more: { limit?: number; pageToken?: string; ascending?: boolean } = {},
) {
  const answer = await client.searchEvents({ filter: filterOf(fields), ...more });
  return { events: answer.eventsJson.map(parse), next: answer.nextPageToken };
}

describe.each(['PGlite', 'PostgreSQL'] as const)('on %s', (engine) => {
  let place: TestDatabasePlace;
  let audit: TestAudit;
  let carol: AuditClient;
  let alice: AuditClient;

  beforeAll(async () => {
    place = await openPlace(engine);
    audit = await startAudit(place);
    carol = await audit.person('carol', ['auditor']);
    alice = await audit.person('alice', ['access']);
  });
  afterAll(async () => {
    await audit[Symbol.asyncDispose]();
    await place[Symbol.asyncDispose]();
  });

  async function stored(marker: string, count = 1): Promise<AuditEvent[]> {
    await expect
      .poll(async () => (await search(carol, { text: marker })).events.length, wait)
      .toBe(count);
    return (await search(carol, { text: marker })).events;
  }

  it('stores an event as it was on the topic, once, however often it arrives', async () => {
    const event = makeEvent({
      sessionId: createId('ses'),
      sequence: 1,
      target: { kind: 'node', name: 'web-1', labels: { env: 'staging' } },
      data: { marker: 'once-upon', text: 'ünïcode "quoted" \\ back' },
    });
    await audit.publish([event, event]);
    await audit.publish([event]);
    await audit.publish([makeEvent({ data: { marker: 'behind-once' } })]);
    await stored('behind-once');
    expect(await stored('once-upon')).toEqual([event]);
  });

  it('puts what it can’t decode or store among the dead letters, and goes on', async () => {
    const log = createMemoryEventLog(audit.broker);
    const sessionId = createId('ses');
    const first = makeEvent({ sessionId, sequence: 1, data: { marker: 'clash' } });
    const raw = (value: string, headers: Record<string, string> = {}) => ({
      key: 'k',
      headers,
      value: Buffer.from(value),
    });
    const before = audit.broker.records(topics.deadLetters).length;
    await log.publish(topics.audit, [
      raw('{"id":'),
      raw(JSON.stringify({ ...makeEvent(), id: undefined })),
      raw(JSON.stringify(makeEvent()), { ce_specversion: '2.0' }),
      raw(JSON.stringify({ ...makeEvent(), time: '2026-02-31T00:00:00Z' })),
      raw(JSON.stringify(first)),
      raw(JSON.stringify(makeEvent({ sessionId, sequence: 1, data: { marker: 'clash' } }))),
      raw(JSON.stringify(makeEvent({ data: { marker: 'valid-between' } }))),
    ]);
    await stored('valid-between');
    expect(await stored('clash')).toEqual([first]);
    await expect.poll(() => audit.broker.records(topics.deadLetters).length, wait).toBe(before + 5);
    const letters = audit.broker.records(topics.deadLetters).slice(before);
    expect(letters.map((letter) => letter.headers['dead_reason']?.split(':')[0])).toEqual([
      'json',
      'shape',
      'version',
      'shape',
      'sequence',
    ]);
    expect(letters[0]?.value.toString()).toBe('{"id":');
    expect(letters[0]?.headers).toMatchObject({ dead_topic: topics.audit });
  });

  it('writes one dead letter of a record, however often its batch is read', async () => {
    const log = createMemoryEventLog(audit.broker);
    const before = audit.broker.records(topics.deadLetters).length;
    const valid = makeEvent({ data: { marker: 'stored-at-last' } });
    await withoutTable(place, 'audit_event', async () => {
      await log.publish(
        topics.audit,
        ['{"id":', JSON.stringify(valid)].map((value) => ({
          key: 'k',
          headers: {},
          value: Buffer.from(value),
        })),
      );
      await sleep(500);
    });
    await stored('stored-at-last');
    await audit.publish([makeEvent({ data: { marker: 'behind-letters' } })]);
    await stored('behind-letters');
    expect(audit.broker.records(topics.deadLetters).length - before).toBe(1);
  });

  it('stores text with any characters, and long names, where another producer put them', async () => {
    const event = makeEvent({
      actor: { kind: 'user', name: 'é'.repeat(4000) },
      data: { marker: 'odd-text', nul: 'a\0b', lone: '\ud800' },
    });
    await audit.publish([event]);
    const [found] = await stored('odd-text');
    expect(found?.data).toMatchObject({ nul: String.raw`a\x00b`, lone: String.raw`\ud800` });
    expect((await search(carol, { user: 'é'.repeat(512) })).events).toHaveLength(1);
  });

  it('finds by person, target, type, session, outcome, time and text, alone and together', async () => {
    const sessionId = createId('ses');
    const base = { sessionId, target: { kind: 'node', name: 'find-me' } };
    const events = [
      makeEvent({ ...base, type: 'session.started', sequence: 1, data: { marker: 'Find-Set' } }),
      makeEvent({
        ...base,
        type: 'ssh.command_started',
        sequence: 2,
        data: { marker: 'find-set', command: 'LS -l 100%_done' },
      }),
      makeEvent({
        ...base,
        type: 'ssh.command_ended',
        sequence: 3,
        outcome: 'failure',
        data: { marker: 'find-set' },
      }),
      makeEvent({
        ...base,
        type: 'session.ended',
        sequence: 4,
        actor: { kind: 'user', name: 'bob' },
        data: { marker: 'find-set' },
      }),
    ];
    await audit.publish(events);
    await stored('find-set', 4);
    const types = async (fields: Parameters<typeof filterOf>[0]) =>
      (await search(carol, { sessionId, ...fields })).events.map((one) => one.type);
    expect(await types({})).toEqual(events.map((one) => one.type).toReversed());
    expect(await types({ user: 'bob' })).toEqual(['session.ended']);
    expect(await types({ type: 'ssh.*' })).toEqual(['ssh.command_ended', 'ssh.command_started']);
    expect(await types({ type: 'ssh.command_ended' })).toEqual(['ssh.command_ended']);
    expect(await types({ type: '*.started' })).toEqual(['session.started']);
    expect(await types({ outcome: 'failure' })).toEqual(['ssh.command_ended']);
    expect(await types({ text: 'ls -L 100%_' })).toEqual(['ssh.command_started']);
    expect(await types({ from: new Date(events[2]!.time) })).toEqual([
      'session.ended',
      'ssh.command_ended',
    ]);
    expect(await types({ to: new Date(events[1]!.time) })).toEqual(['session.started']);
    expect((await search(carol, { target: 'find-me' })).events).toHaveLength(4);
    expect((await search(carol, { target: 'find-m' })).events).toEqual([]);
  });

  it('lets tricks in filters find nothing and break nothing', async () => {
    for (const trick of [
      "' or 1=1 --",
      '%',
      '_',
      'a\0b',
      '\\',
      '.*',
      '{{',
      '\ud800',
      "'; drop table audit_event; --",
    ]) {
      for (const field of ['type', 'user', 'target', 'sessionId', 'outcome'] as const) {
        expect((await search(carol, { [field]: trick })).events, `${field} ${trick}`).toEqual([]);
      }
    }
    expect((await search(carol, { text: "' or 1=1 --" })).events).toEqual([]);
    await expect(search(carol, { text: 'x'.repeat(2000) })).rejects.toMatchObject({
      code: 'AUDIT_FILTER',
    });
    await expect(search(carol, {}, { limit: -1 })).rejects.toMatchObject({ code: 'AUDIT_FILTER' });
  });

  it('pages newest first without gap or repeat while events arrive, and in stored order for an export', async () => {
    const events = Array.from({ length: 95 }, () =>
      makeEvent({ type: 'limit.reached', data: { marker: 'paging' } }),
    );
    await audit.publish(events);
    await stored('paging', 95);
    const collect = async (isAscending: boolean) => {
      const ids: string[] = [];
      let pageToken = '';
      do {
        const page = await search(
          carol,
          { type: 'limit.reached' },
          { limit: 20, pageToken, ascending: isAscending },
        );
        ids.push(...page.events.map((one) => one.id));
        pageToken = page.next;
        if (!isAscending && ids.length === 40)
          await audit.publish([makeEvent({ type: 'limit.reached' })]);
      } while (pageToken !== '');
      return ids;
    };
    expect(await collect(false)).toEqual(events.map((one) => one.id).toReversed());
    expect((await collect(true)).slice(0, 95)).toEqual(events.map((one) => one.id));
  });

  it('keeps events of one millisecond in their session’s order', async () => {
    const sessionId = createId('ses');
    const { time } = makeEvent();
    await audit.publish(
      Array.from({ length: 10 }, (_, index) =>
        makeEvent({ sessionId, sequence: index + 1, time, data: { marker: 'same-ms' } }),
      ),
    );
    expect((await stored('same-ms', 10)).map((one) => one.sequence)).toEqual([
      10, 9, 8, 7, 6, 5, 4, 3, 2, 1,
    ]);
  });

  it('shows a person nothing of whoever had the name before', async () => {
    const actor = { kind: 'user', name: 'twin' };
    const [before, since] = [makeEvent({ actor }), makeEvent({ actor })].map((event) => ({
      ...event,
      data: { marker: 'namesake' },
    }));
    if (before === undefined || since === undefined) throw new Error('no events');
    await audit.publish([before, since]);
    await stored('namesake', 2);
    audit.policy.createdAt.set('twin', Date.parse(since.time));
    const twin = await audit.person('twin', ['access']);
    const found = (await search(twin, { text: 'namesake' })).events;
    expect(found.map(({ id }) => id)).toEqual([since.id]);
  });

  it('shows an ordinary person only what they did, whatever they ask for', async () => {
    await audit.publish([
      makeEvent({ actor: { kind: 'user', name: 'alice' }, data: { marker: 'whose' } }),
      makeEvent({ actor: { kind: 'user', name: 'bob' }, data: { marker: 'whose' } }),
      makeEvent({ actor: { kind: 'unknown', name: 'alice' }, data: { marker: 'whose' } }),
    ]);
    await stored('whose', 3);
    expect((await search(alice, { text: 'whose' })).events.map((one) => one.actor)).toEqual([
      { kind: 'user', name: 'alice' },
    ]);
    expect((await search(alice, { text: 'whose', user: 'bob' })).events).toEqual([]);
    const mallory = await audit.person('mallory', []);
    expect(await search(mallory)).toEqual({ events: [], next: '' });
    const ada = await audit.person('ada', ['admin']);
    expect((await search(ada, { text: 'whose' })).events).toHaveLength(3);
  });

  it('refuses a page token of another person, of another search, and a forged one', async () => {
    const { next } = await search(carol, { type: 'limit.reached' }, { limit: 5 });
    const carla = await audit.person('carla', ['auditor']);
    await expect(
      search(carla, { type: 'limit.reached' }, { limit: 5, pageToken: next }),
    ).rejects.toMatchObject({ code: 'AUDIT_PAGE_TOKEN' });
    await expect(search(carol, { type: 'other' }, { pageToken: next })).rejects.toMatchObject({
      code: 'AUDIT_PAGE_TOKEN',
    });
    for (const forged of ['x', '.', `${next}A`, `AAAA.${next.split('.')[1]}`, 'x'.repeat(5000)]) {
      await expect(
        search(carol, { type: 'limit.reached' }, { pageToken: forged }),
      ).rejects.toMatchObject({ code: 'AUDIT_PAGE_TOKEN' });
    }
  });

  it('refuses agents, services, strangers, ended logins, locked people and other addresses', async () => {
    for (const kind of ['agent', 'service', 'anonymous'] as const) {
      await expect(search(await audit.stranger(kind))).rejects.toMatchObject({
        kind: 'permission_denied',
      });
    }
    const loginId = createId('lgn');
    const gone = await audit.person('gone', ['auditor'], { loginId });
    await search(gone);
    audit.policy.endedLogins.add(loginId);
    await expect(search(gone)).rejects.toMatchObject({ code: 'AUDIT_LOGIN_ENDED' });
    const locked = await audit.person('locked', ['auditor']);
    audit.policy.locks.push(lockUser('locked', 'incident 7'));
    await expect(search(locked)).rejects.toMatchObject({ publicMessage: 'locked: incident 7' });
    const pinned = await audit.person('pinned', ['auditor'], {
      sourceIp: '192.0.2.7',
      address: '192.0.2.7',
    });
    await search(pinned);
    const moved = await audit.person('pinned', ['auditor'], {
      sourceIp: '192.0.2.7',
      address: '192.0.2.8',
    });
    await expect(search(moved)).rejects.toMatchObject({ code: 'SOURCE_ADDRESS' });
    audit.policy.isReady = false;
    await expect(search(carol)).rejects.toMatchObject({ kind: 'unavailable' });
    audit.policy.isReady = true;
  });

  it('tails from any replica: what is stored from then on, in order, within the rights, until a lock', async () => {
    const other = await audit.addReplica();
    try {
      const seen = { carol: [] as string[], alice: [] as string[], signs: 0 };
      const follow = async (
        client: AuditClient,
        into: string[],
        fields: Parameters<typeof filterOf>[0],
      ) => {
        for await (const { eventJson } of client.tailEvents({ filter: filterOf(fields) })) {
          if (eventJson === '') seen.signs += 1;
          else into.push(String(parse(eventJson).data['n']));
        }
      };
      const ends = [
        follow(await other.person('carol', ['auditor']), seen.carol, { type: 'login.*' }).catch(
          (thrown: unknown) => thrown,
        ),
        follow(await audit.person('tailer', ['access']), seen.alice, {}).catch(
          (thrown: unknown) => thrown,
        ),
      ];
      await expect.poll(() => seen.signs, wait).toBe(2);
      const numbers = Array.from({ length: 300 }, (_, index) => String(index));
      for (const n of numbers) {
        const name = Number(n) % 10 === 0 ? 'tailer' : 'bob';
        await audit.publish([
          makeEvent({ type: 'login.blocked', actor: { kind: 'user', name }, data: { n } }),
        ]);
        if (Number(n) % 50 === 0) await sleep(5);
      }
      await expect.poll(() => seen.carol.length, wait).toBe(300);
      expect(seen.carol).toEqual(numbers);
      await expect.poll(() => seen.alice.length, wait).toBe(30);
      audit.policy.locks.push(lockUser('tailer', 'enough'), lockUser('carol', 'enough'));
      await audit.publish([makeEvent({ type: 'login.blocked', data: { n: 'after' } })]);
      expect(await Promise.all(ends)).toMatchObject([
        { code: 'AUDIT_LOCKED' },
        { code: 'AUDIT_LOCKED' },
      ]);
      expect(seen.carol).not.toContain('after');
    } finally {
      audit.policy.locks.length = 0;
      await other[Symbol.asyncDispose]();
    }
  });

  it('goes on where it was after a stop, without loss or repeat', async () => {
    const sessionId = createId('ses');
    const events = Array.from({ length: 400 }, (_, index) =>
      makeEvent({ sessionId, sequence: index + 1 }),
    );
    const extra = await audit.addReplica();
    const half = audit.publish(events.slice(0, 200));
    await extra[Symbol.asyncDispose]();
    await half;
    await audit.publish(events.slice(150));
    const count = async () => {
      const rows = await place.database
        .selectFrom('audit_event')
        .select(({ fn }) => [
          fn.countAll<number>().as('all'),
          fn.count<number>('sequence').distinct().as('numbers'),
        ])
        .where('session_id', '=', sessionId)
        .executeTakeFirstOrThrow();
      return [rows.all, rows.numbers];
    };
    await expect.poll(count, wait).toEqual([400, 400]);
  });

  it('finds one of very many events by text, and a page by any other filter, quickly', async () => {
    await sql`select audit_event_make_day(current_date - n) from generate_series(0, 2) as n`.execute(
      place.database,
    );
    await sql`
      insert into audit_event (id, type, time, session_id, sequence, actor_kind, actor_name, target_name, outcome, search_text, event, stored_at)
      select 'bulk' || n, 'ssh.command_started', date_trunc('day', now()) - n * interval '1 second', null, null, 'user', 'bulk' || n % 100, 'host' || n % 50,
        'success', repeat('words of an ordinary event ', 15) || n || '-end', repeat('{"an": "ordinary event"} ', 20), now()
      from generate_series(1, ${engine === 'PGlite' ? 20_000 : 100_000}::int) as n`.execute(
      place.database,
    );
    await sql`analyze audit_event`.execute(place.database);
    const timed = async (fields: Parameters<typeof filterOf>[0], expected: number) => {
      const start = performance.now();
      const answer = await carol.searchEvents({ filter: filterOf(fields) });
      expect(answer.eventsJson).toHaveLength(expected);
      return performance.now() - start;
    };
    const took = {
      text: await timed({ text: 'event 14321-end' }, 1),
      user: await timed({ user: 'bulk7' }, 100),
      target: await timed({ target: 'host7' }, 100),
      type: await timed({ type: 'ssh.*' }, 100),
      nobody: await timed({ user: 'nobody' }, 0),
    };
    // A busy machine is slow; what is slow by itself is far beyond this. The plan below is what holds the index to its work.
    for (const ms of Object.values(took)) expect(ms).toBeLessThan(20_000);
    if (engine === 'PGlite') return;
    const { rows } = await sql<
      Record<string, string>
    >`explain select event from audit_event where actor_name = 'bulk7' order by time desc, position desc limit 100`.execute(
      place.database,
    );
    expect(JSON.stringify(rows)).toContain('_actor_name_time_position_idx');
    expect(JSON.stringify(rows)).not.toContain('Seq Scan');
  });
});
