/** PostgreSQL through the port at home: PG-01, 02, 04 to 10, 12. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { TargetDatabase } from '../servers/target-database.js';
import { DatabasePerson } from '../stack/database-client.js';
import { addDatabase, databaseRoles } from '../stack/database-world.js';
import { searchEvents, waitForEvent, type Event } from '../stack/events.js';
import { eventually, run } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

describe('PostgreSQL', () => {
  let world: World;
  let database: TargetDatabase;
  let reader: DatabasePerson;
  let owner: DatabasePerson;
  beforeAll(async () => {
    world = await createWorld({
      only: 'staging',
      roles: databaseRoles,
      people: { alice: ['db-reader'], olga: ['db-owner'], dora: ['dba'], vera: ['db-values'] },
    });
    database = await addDatabase(world);
    await database.query('create table items (id int primary key, name text)');
    await database.query('grant all on items to owner, reader');
    await database.query('grant create on schema public to owner');
    reader = await DatabasePerson.login(world.person('alice'), 'pg-1', ['--db-name', 'app']);
    owner = await DatabasePerson.login(world.person('olga'), 'pg-1', [
      '--db-user',
      'owner',
      '--db-name',
      'app',
    ]);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });

  const executed = async (user: string, from: string, count: number): Promise<Event[]> =>
    eventually('statement events', async () => {
      const found = await searchEvents(world.ada, {
        type: 'db.statement_executed',
        user,
        from,
      });
      return found.length >= count ? found.toReversed() : undefined;
    });

  describe('rows and refusals (PG-01)', () => {
    it('gives rows to stock psql by the name of a service, and says who came through which agent', async () => {
      const result = await reader.psql('select 40 + 2');
      expect(result).toMatchObject({ code: 0, stdout: '42\n', stderr: '' });
      const started = await waitForEvent(world.ada, { type: 'session.started', user: 'alice' });
      expect(started).toMatchObject({
        target: { kind: 'database', name: 'pg-1' },
        data: { protocol: 'postgres', principal: 'reader', database: 'app' },
      });
      const [{ count } = { count: 0 }] = await database.query(
        "select count(*)::int from pg_stat_activity where usename = 'reader'",
      );
      expect(count).toBeLessThanOrEqual(1);
    });

    it('refuses a wrong user and a wrong database before the database is dialled', async () => {
      const lines = database.log.split('\n').length;
      for (const settings of ['user=owner', 'dbname=postgres', 'user=postgres']) {
        const result = await reader.psql('select 1', { settings });
        expect(result.code).toBe(2);
        expect(result.stderr).toContain('FATAL:  denied:');
      }
      expect(database.log.split('\n').length).toBe(lines);
      const denied = await waitForEvent(world.ada, { type: 'session.denied', user: 'alice' });
      expect(denied).toMatchObject({ outcome: 'denied', target: { name: 'pg-1' } });
    });

    it('refuses whoever has no certificate, or one of a stranger, in the protocol', async () => {
      const none = await run('psql', [
        '-Xc',
        'select 1',
        '-d',
        `host=${reader.access.host} port=${reader.access.port} user=reader dbname=app sslmode=require ` +
          "options='-c gatehouse.target=pg-1' sslcert=/nowhere",
      ]);
      expect(none.code).toBe(2);
      expect(none.stderr).toContain('FATAL:  a certificate is needed; run gate login');
      const dir = world.home.folder('stranger');
      const made = await run('openssl', [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-subj',
        '/CN=reader',
        '-keyout',
        join(dir, 'key'),
        '-out',
        join(dir, 'cert'),
      ]);
      expect(made.code).toBe(0);
      const stranger = await reader.psql('select 1', {
        settings: `sslcert=${join(dir, 'cert')} sslkey=${join(dir, 'key')}`,
      });
      expect(stranger.code).toBe(2);
      expect(stranger.stderr).toMatch(/FATAL: {2}certificate is not accepted/);
    });

    it('says that the stored credentials were refused, and never what they are', async () => {
      const { password, passwordFile } = database;
      writeFileSync(passwordFile, 'canary-wrong-one\n');
      try {
        const result = await reader.psql('select 1');
        expect(result.code).toBe(2);
        expect(result.stderr).toContain('the database refused the stored credentials');
        expect(result.stderr).not.toContain('canary');
        const failed = await waitForEvent(world.ada, {
          type: 'session.connect_failed',
          user: 'alice',
        });
        expect(JSON.stringify(failed)).not.toContain('canary');
        expect(world.home.log + (world.agents.get('pg')?.log ?? '')).not.toContain('canary-wrong');
      } finally {
        writeFileSync(passwordFile, `${password}\n`);
      }
      expect((await reader.psql('select 1')).code).toBe(0);
    });
  });

  it('keeps transactions, savepoints and errors as on a straight connection (PG-02)', async () => {
    const client = await owner.connect();
    await client.query('begin');
    await client.query("insert into items values (1, 'kept')");
    await client.query('savepoint s');
    const straight = "insert into items values (1, 'twice')";
    await expect(client.query(straight)).rejects.toMatchObject({ code: '23505' });
    await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
    await client.query('rollback to s');
    await client.query('commit');
    await client.query('begin');
    await client.query("insert into items values (2, 'gone')");
    await client.query('rollback');
    expect(await database.query('select id from items order by id')).toEqual([{ id: 1 }]);
    await client.end();
  });

  it('ends the backend of a client that dies in a statement (PG-04)', async () => {
    const from = new Date().toISOString();
    const child = spawn(
      'psql',
      ['-Xd', `service=${owner.access.service}`, '-c', 'select pg_sleep(600)'],
      {
        env: { ...process.env, ...owner.env() },
        stdio: 'ignore',
      },
    );
    const sleeping = async () =>
      (
        await database.query(
          "select pid from pg_stat_activity where query like '%pg_sleep(600)%' and usename = 'owner'",
        )
      ).length;
    await eventually('the sleeper', async () => (await sleeping()) === 1);
    child.kill('SIGKILL');
    await eventually('the backend to be gone', async () => (await sleeping()) === 0, 10_000);
    const ended = await waitForEvent(world.ada, { type: 'session.ended', user: 'olga', from });
    expect(ended.reason).toBe('client_gone');
    const [event] = await executed('olga', from, 1);
    expect(event).toMatchObject({
      outcome: 'failure',
      data: { statement: 'select pg_sleep(600)' },
    });
  });

  it('cancels the own statement and no other (PG-05)', async () => {
    const from = new Date().toISOString();
    const other = reader.psql('select pg_sleep(4), 7');
    const child = spawn(
      'psql',
      ['-Xd', `service=${owner.access.service}`, '-c', 'select pg_sleep(600)'],
      {
        env: { ...process.env, ...owner.env() },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)));
    await eventually('both', async () => {
      const rows = await database.query(
        "select pid from pg_stat_activity where query like 'select pg_sleep(%' and state = 'active'",
      );
      return rows.length === 2;
    });
    child.kill('SIGINT');
    await eventually('the cancel', () => child.exitCode !== null);
    expect(stderr).toContain('canceling statement due to user request');
    expect(await other).toMatchObject({ code: 0, stdout: '|7\n' });
    const [event] = await executed('olga', from, 1);
    expect(event).toMatchObject({
      outcome: 'failure',
      reason: 'cancelled',
      data: { sqlstate: '57014' },
    });
  });

  it('carries prepared statements, portals, batches and errors in them (PG-06)', async () => {
    const from = new Date().toISOString();
    const client = await owner.connect();
    const named = { name: 'by-id', text: 'select $1::int + 1 as next' };
    for (const value of [1, 2, 3])
      expect((await client.query({ ...named, values: [value] })).rows).toEqual([
        { next: value + 1 },
      ]);
    await expect(client.query('select $1::int', ['no number'])).rejects.toMatchObject({
      code: '22P02',
    });
    expect((await client.query('select 5 as five')).rows).toEqual([{ five: 5 }]);
    await client.end();
    const events = await executed('olga', from, 5);
    expect(events.map(({ data }) => data['statement'])).toEqual([
      named.text,
      named.text,
      named.text,
      'select $1::int',
      'select 5 as five',
    ]);
    expect(JSON.stringify(events)).not.toContain('no number');
    expect(events[0]).toMatchObject({ data: { class: 'select', rows: 1, sqlstate: null } });
  });

  it('forgets the oldest of very many prepared statements, and goes on (PG-06)', async () => {
    const client = await owner.connect();
    for (let index = 0; index < 10_000; index += 1)
      await client.query({ name: `many-${index}`, text: 'select 1' });
    expect((await client.query({ name: 'many-0', text: 'select 1' })).rowCount).toBe(1);
    await client.end();
  }, 120_000);

  it('carries COPY both ways unchanged, and notices in order (PG-07)', async () => {
    const from = new Date().toISOString();
    const file = join(world.home.folder('copy'), 'rows');
    const line = `${'x'.repeat(998)}\n`;
    writeFileSync(file, Array.from({ length: 100_000 }, () => line).join(''));
    await owner.psql('create table big (line text)');
    const into = await owner.psql(String.raw`\copy big from '${file}'`, { timeoutMs: 120_000 });
    expect(into).toMatchObject({ code: 0, stderr: '' });
    const out = `${file}.out`;
    const back = await owner.psql(String.raw`\copy big to '${out}'`, { timeoutMs: 120_000 });
    expect(back.code).toBe(0);
    const sum = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
    expect(sum(out)).toBe(sum(file));
    const events = await executed('olga', from, 3);
    expect(events.map(({ data }) => [data['class'], data['rows'], data['bytes']])).toEqual([
      ['ddl', null, 0],
      ['copy', 100_000, 99_900_000],
      ['copy', 100_000, 99_900_000],
    ]);
    const listener = await owner.connect();
    const heard: string[] = [];
    listener.on('notification', ({ payload }) => void heard.push(payload ?? ''));
    await listener.query('listen news');
    await owner.psql("select pg_notify('news', n::text) from generate_series(1, 1000) n");
    await eventually('all notices', () => heard.length === 1000);
    expect(heard).toEqual(Array.from({ length: 1000 }, (_, index) => String(index + 1)));
    await listener.end();
  }, 240_000);

  it('demands TLS, and is taken by a client only for what it is (PG-08)', async () => {
    const ask = async (settings: string) => reader.psql('select 1', { settings });
    for (const mode of ['require', 'verify-ca', 'verify-full', 'prefer', 'allow'])
      expect(await ask(`sslmode=${mode}`), mode).toMatchObject({ code: 0, stdout: '1\n' });
    const clear = await ask('sslmode=disable');
    expect(clear.code).toBe(2);
    expect(clear.stderr).toContain('FATAL:  TLS is required');
    const wrong = await ask(`sslrootcert=${database.caFile}`);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('certificate verify failed');
    const binding = await ask('channel_binding=require');
    expect(binding.code).toBe(2);
    expect(binding.stderr).toContain('channel binding required');
  });

  it('writes down each statement once, however it was sent (PG-09)', async () => {
    const from = new Date().toISOString();
    const long = `select 'x${'y'.repeat(1_000_000)}' is not null`;
    const client = await owner.connect();
    await client.query('select 1; select 2; select 3');
    await client.query('');
    await client.query(long);
    await expect(client.query('selec 1')).rejects.toMatchObject({ code: '42601' });
    await client.query('select $1::text', ['canary-value']);
    await client.end();
    const events = await executed('olga', from, 7);
    expect(events).toHaveLength(7);
    expect(events.map(({ outcome }) => outcome)).toEqual([
      ...Array.from({ length: 5 }, () => 'success'),
      'failure',
      'success',
    ]);
    expect(events[4]?.data).toMatchObject({
      truncated: true,
      statementBytes: long.length,
      sha256: createHash('sha256').update(long).digest('hex'),
    });
    expect(events[5]?.data).toMatchObject({ sqlstate: '42601' });
    expect(JSON.stringify(events)).not.toContain('canary-value');
    const vera = await DatabasePerson.login(world.person('vera'), 'pg-1', ['--db-name', 'app']);
    const withValues = await vera.connect();
    await withValues.query('select $1::text, $2::int', ['canary-value', null]);
    await withValues.end();
    const [kept] = await executed('vera', from, 1);
    expect(kept?.data['values']).toEqual(['canary-value', null]);
  });

  it('refuses what a role does not allow, in its place, and goes on (PG-10)', async () => {
    const from = new Date().toISOString();
    const dora = await DatabasePerson.login(world.person('dora'), 'pg-1', ['--db-name', 'app']);
    await database.query("insert into items values (77, 'stays') on conflict do nothing");
    const client = await dora.connect();
    const statements = [
      'drop table items',
      'delete from items',
      'select 1; drop table items',
      'explain analyze delete from items',
      'with x as (delete from items returning 1) select * from x',
      'select * into other from items',
      'do $$ begin delete from items; end $$',
      'this is no statement',
    ];
    for (const text of statements)
      for (const query of [{ text }, { name: '', text, values: [] }, { name: `n${text}`, text }]) {
        await expect(client.query(query), text).rejects.toMatchObject({
          code: '42501',
          message: expect.stringContaining('denied:') as string,
        });
        expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      }
    await client.end();
    expect(await database.query('select name from items where id = 77')).toEqual([
      { name: 'stays' },
    ]);
    expect(database.log).not.toContain('delete from items');
    const denied = await searchEvents(world.ada, {
      type: 'db.statement_denied',
      user: 'dora',
      from,
    });
    expect(denied).toHaveLength(statements.length * 3);
    expect(denied.every(({ data }) => String(data['rule']).length > 0)).toBe(true);
  });

  it('takes names for what they are, byte for byte (PG-12)', async () => {
    for (const user of ['READER', "'reader '", 'reader1'])
      expect((await reader.psql('select 1', { settings: `user=${user}` })).code, user).toBe(2);
    for (const options of ['-c role=owner', '-crole=owner', '--session_authorization=owner']) {
      const result = await reader.psql('select 1', { settings: `options='${options}'` });
      expect(result.stderr, options).toContain('can not be set as the connection begins');
    }
    const set = await reader.psql('set role owner');
    expect(set.stderr).toContain('permission denied to set role');
  });

  it('plays the statements of a session as a transcript', async () => {
    const from = new Date().toISOString();
    await owner.psql("select 'in the transcript'");
    const completed = await waitForEvent(world.ada, {
      type: 'recording.completed',
      user: 'olga',
      from,
    });
    const id = String(completed.data['recordingId']);
    const played = await eventually('the transcript', async () => {
      const result = await world.ada.gate(['recordings', 'export', id, '--as', 'text']);
      return result.stdout.includes('in the transcript') ? result.stdout : undefined;
    });
    expect(played).toContain("app=> select 'in the transcript'");
    expect(played).toContain('1 rows');
    expect(existsSync(database.passwordFile)).toBe(true);
  });
});
