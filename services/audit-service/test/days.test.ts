import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { createId, idTime } from '@gatehouse/kit/ids';
import { migrationsFolder } from '@gatehouse/kit/postgres';
import { sql, type Kysely } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Tables } from '../src/store/tables.js';
import { filterOf, makeEvent, openPlace, startAudit, type TestDatabasePlace } from './support.js';

const wait = { timeout: 30_000, interval: 50 };
const dayMs = 24 * 3_600_000;
const dayName = (ms: number) =>
  `audit_event_${new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')}`;

async function partitions(database: Kysely<Tables>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select relname as name from pg_class join pg_inherits on inhrelid = oid
    where inhparent = 'audit_event'::regclass order by relname`.execute(database);
  return rows.map(({ name }) => name);
}

async function placesOf(database: Kysely<Tables>, marker: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select tableoid::regclass::text as name from audit_event
    where strpos(search_text, ${marker}) > 0 order by time`.execute(database);
  return rows.map(({ name }) => name);
}

describe.each(['PGlite', 'PostgreSQL'] as const)('on %s', (engine) => {
  let place: TestDatabasePlace;
  beforeAll(async () => {
    place = await openPlace(engine);
  }, 60_000);
  afterAll(async () => place[Symbol.asyncDispose]());

  it('keeps an event in the partition of its day, and times that no clock should have in one of their own', async () => {
    await using audit = await startAudit(place);
    const now = Date.now();
    const times = [now, now - dayMs, now - 300 * dayMs].map((ms) => new Date(ms).toISOString());
    const odd = ['1970-01-01T00:00:00Z', '2020-02-29T12:00:00Z', '2400-01-01T00:00:00Z'];
    const marker = 'by-day';
    await audit.publish([...times, ...odd].map((time) => makeEvent({ time, data: { marker } })));
    await expect
      .poll(async () => (await placesOf(place.database, marker)).toSorted(), wait)
      .toEqual(
        [
          ...Array.from(odd, () => 'audit_event_other'),
          ...times.map((time) => dayName(Date.parse(time))),
        ].toSorted(),
      );
    const carol = await audit.person('carol', ['auditor']);
    const { eventsJson } = await carol.searchEvents({ filter: filterOf({ text: marker }) });
    expect(eventsJson).toHaveLength(6);
    expect((await partitions(place.database)).length).toBeLessThan(10);
    expect(await partitions(place.database)).toContain(dayName(now + 2 * dayMs));
  });

  it('stores an event once under whatever time it comes again, and once a place within a session', async () => {
    await using audit = await startAudit(place);
    const sessionId = createId('ses', Date.now() - 5 * dayMs);
    const id = createId('evt', idTime(sessionId));
    const at = (ms: number) => new Date(ms).toISOString();
    const days = [4, 2, 0].map((ago) => at(Date.now() - ago * dayMs));
    for (const time of days)
      await audit.publish([
        makeEvent({ id, time, sessionId, sequence: 7, data: { marker: 'again' } }),
        makeEvent({ time, sessionId, sequence: 7, data: { marker: 'clash-later' } }),
      ]);
    await audit.publish([makeEvent({ data: { marker: 'behind-again' } })]);
    await expect.poll(async () => placesOf(place.database, 'behind-again'), wait).toHaveLength(1);
    const rows = await place.database
      .selectFrom('audit_event')
      .select(['id', 'time'])
      .where('session_id', '=', sessionId)
      .execute();
    expect(rows).toEqual([{ id, time: new Date(days[0] ?? '') }]);
  });

  it('takes along what came before the partition of its day', async () => {
    const day = new Date(Date.now() + 4 * dayMs).toISOString().slice(0, 10);
    {
      await using audit = await startAudit(place);
      await audit.publish([makeEvent({ time: `${day}T12:00:00Z`, data: { marker: 'early' } })]);
      await expect
        .poll(async () => placesOf(place.database, 'early'), wait)
        .toEqual(['audit_event_other']);
    }
    await sql`select audit_event_make_day(${day}::date)`.execute(place.database);
    expect(await placesOf(place.database, 'early')).toEqual([dayName(Date.parse(day))]);
    await sql`select audit_event_make_day(${day}::date)`.execute(place.database);
  });

  it('drops days and recordings that are past their time, whole, and nothing else', async () => {
    const { database } = place;
    const oldDay = Date.now() - 500 * dayMs;
    const lastKept = Date.now() - 399 * dayMs;
    for (const ms of [oldDay, lastKept])
      await sql`select audit_event_make_day(${new Date(ms).toISOString().slice(0, 10)}::date)`.execute(
        database,
      );
    const ids = [200, 1].map((ago) => createId('rec', Date.now() - ago * dayMs));
    const sessionId = createId('ses');
    for (const id of ids) {
      await sql`
        insert into audit_recording (id, session_id, protocol, actor_kind, actor_name, target_name, started_at, duration_ms, bytes, chunks)
        values (${id}, ${sessionId}, 'ssh', 'user', 'alice', 'web-1', ${new Date(idTime(id))}, 1000, 1, 1)`.execute(
        database,
      );
      await sql`
        insert into audit_recording_chunk values (${id}, 0, 'a', 'b', 0, 1000, 1)`.execute(
        database,
      );
    }
    await using audit = await startAudit(place, async (recordingsDir) => {
      for (const id of ids) {
        await mkdir(join(recordingsDir, sessionId, id), { recursive: true });
        await writeFile(join(recordingsDir, sessionId, id, '00000000.gz'), 'x');
      }
    });
    await expect.poll(async () => partitions(database), wait).not.toContain(dayName(oldDay));
    expect(await partitions(database)).toContain(dayName(lastKept));
    const kept = async () => {
      const rows = await database.selectFrom('audit_recording').select('id').execute();
      return rows.map(({ id }) => id);
    };
    await expect.poll(kept, wait).toEqual([ids[1]]);
    const chunks = await database.selectFrom('audit_recording_chunk').selectAll().execute();
    expect(chunks.map((chunk) => chunk.recording_id)).toEqual([ids[1]]);
    const exists = (id = '') => existsSync(join(audit.recordingsDir, sessionId, id, '00000000.gz'));
    expect(ids.map(exists)).toEqual([false, true]);
  });

  it('lets the functions drop and make nothing that they should not', async () => {
    const { database } = place;
    const refused = { code: '22023' };
    await expect(
      sql`select audit_event_drop_before(now() - interval '6 days')`.execute(database),
    ).rejects.toMatchObject(refused);
    await expect(sql`select audit_event_drop_before(null)`.execute(database)).rejects.toMatchObject(
      refused,
    );
    await expect(
      sql`select audit_recording_drop('{}', now())`.execute(database),
    ).rejects.toMatchObject(refused);
    for (const day of ['1970-01-01', '2400-01-01'])
      await expect(
        sql`select audit_event_make_day(${day}::date)`.execute(database),
      ).rejects.toMatchObject(refused);
  });
});

it('keeps what was stored before there were days, in its order', async () => {
  await using place = await openPlace('PostgreSQL');
  const { database } = place;
  const folder = migrationsFolder(new URL('../src/x.ts', import.meta.url).href);
  const file = async (name: string) => readFile(join(folder, name), 'utf8');
  await sql.raw(await file('0001_events.sql')).execute(database);
  await sql.raw(await file('0002_recordings.sql')).execute(database);
  await sql`
    insert into audit_event (id, type, time, session_id, sequence, actor_kind, actor_name, outcome, search_text, event, stored_at)
    select 'evt_' || n, 'a.b', now() - n * interval '1 day', null, null, 'user', 'alice', 'success', '', '{}', now()
    from generate_series(1, 500, 100) as n`.execute(database);
  await sql.raw(await file('0003_event_days.sql')).execute(database);
  const rows = await database
    .selectFrom('audit_event')
    .select(['position', 'id'])
    .orderBy('position')
    .execute();
  expect(rows).toEqual(
    [1, 101, 201, 301, 401].map((n, at) => ({ position: at + 1, id: `evt_${n}` })),
  );
  expect(await partitions(database)).toHaveLength(5);
  const { rows: next } = await sql<{ position: number }>`
    insert into audit_event (id, type, time, actor_kind, actor_name, outcome, search_text, event, stored_at)
    values ('evt_new', 'a.b', now(), 'user', 'alice', 'success', '', '{}', now()) returning position`.execute(
    database,
  );
  expect(next).toEqual([{ position: 6 }]);
});

it('needs no more rights on PostgreSQL than grants.sql gives, with which it can change no event', async () => {
  await using place = await openPlace('PostgreSQL');
  {
    await using audit = await startAudit(place);
    await audit.publish([makeEvent({ data: { marker: 'granted' } })]);
    await expect.poll(async () => placesOf(place.database, 'granted'), wait).toHaveLength(1);
  }
  const grants = await readFile(new URL('../grants.sql', import.meta.url), 'utf8');
  await sql`create role audit_user login`.execute(place.database);
  await sql.raw(grants.replaceAll(':role', 'audit_user')).execute(place.database);
  const asUser = async (statement: string) =>
    place.database.transaction().execute(async (transaction) => {
      await sql`set local role audit_user`.execute(transaction);
      return sql.raw(statement).execute(transaction);
    });
  const event = `'evt_1', 'a.b', now(), 'user', 'alice', 'success', '', '{}', now()`;
  await asUser(
    `insert into audit_event (id, type, time, actor_kind, actor_name, outcome, search_text, event, stored_at) values (${event})`,
  );
  await asUser('select audit_event_make_day(current_date - 9)');
  await asUser(`select audit_event_drop_before(now() - interval '8 days')`);
  await asUser(`update audit_recording set chunks = chunks + 1`);
  for (const statement of [
    `update audit_event set event = ''`,
    'delete from audit_event',
    'truncate audit_event',
    'drop table audit_event_other',
    `update audit_recording_chunk set sha256 = ''`,
    'delete from audit_recording',
    `update audit_recording set actor_name = 'bob'`,
  ])
    await expect(asUser(statement), statement).rejects.toMatchObject({ code: '42501' });
});
