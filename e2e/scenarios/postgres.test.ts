/** PostgreSQL through the port, at home and in a cluster: PG-01 to 12. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { TargetDatabase } from '../servers/target-database.js';
import { joinAgent } from '../stack/agent.js';
import { DatabasePerson } from '../stack/database-client.js';
import { addDatabase, databaseRoles } from '../stack/database-world.js';
import { searchEvents, waitForEvent, type Event } from '../stack/events.js';
import type { Installation } from '../stack/installation.js';
import { eventually, run } from '../stack/run.js';
import {
  createClusterWorld,
  createWorld,
  exportCa,
  type World,
  type WorldOptions,
} from '../stack/world.js';

/** A startup message over TLS begun at once, behind other wishes; the first byte of the answer. */
async function direct(
  { access }: DatabasePerson,
  steps: readonly ('gss' | 'direct')[],
): Promise<string> {
  const { host, port, user, database, certFile, keyFile, caFile } = access;
  const socket = connectTcp(port, host);
  await once(socket, 'connect');
  if (steps.includes('gss')) {
    socket.write(Buffer.from('0000000804d21630', 'hex'));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toBe('N');
    socket.write(Buffer.from('0000000804d2162f', 'hex'));
    const [wish] = (await once(socket, 'data')) as [Buffer];
    expect(wish.toString()).toBe('S');
  }
  const tls = connectTls({
    socket,
    servername: 'localhost',
    ca: readFileSync(caFile),
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
    ALPNProtocols: ['postgresql'],
  });
  await once(tls, 'secureConnect');
  const body = Buffer.from(`user\0${user}\0database\0${database}\0\0`);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.length, 0);
  head.writeUInt32BE(196_608, 4);
  tls.write(Buffer.concat([head, body]));
  const [first] = (await once(tls, 'data')) as [Buffer];
  tls.destroy();
  return first.toString('latin1');
}

type CreatePlace = (options: WorldOptions) => Promise<World<Installation>>;
const places: readonly (readonly [name: string, create: CreatePlace])[] = [
  ['at home', createWorld],
  ['in a cluster', createClusterWorld],
];

describe.each(places)('PostgreSQL %s', (_, createPlace) => {
  let world: World<Installation>;
  let database: TargetDatabase;
  let reader: DatabasePerson;
  let owner: DatabasePerson;
  beforeAll(async () => {
    world = await createPlace({
      only: 'staging',
      roles: databaseRoles,
      people: { alice: ['db-reader'], olga: ['db-owner'], dora: ['dba'], vera: ['db-values'] },
    });
    database = await addDatabase(world, ['max_connections = 200', 'log_connections = on']);
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
  }, 240_000);
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
      const dials = () => database.log.split('connection received').length;
      const before = dials();
      expect(before).toBeGreaterThan(1);
      for (const settings of ['user=owner', 'dbname=postgres', 'user=postgres']) {
        const result = await reader.psql('select 1', { settings });
        expect(result.code).toBe(2);
        expect(result.stderr).toContain('FATAL:  denied:');
      }
      expect(dials()).toBe(before);
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
    await withValues.query('select $1::text', ['v'.repeat(2000)]);
    await withValues.end();
    const [kept, cut] = await executed('vera', from, 2);
    expect(kept?.data['values']).toEqual(['canary-value', null]);
    expect(kept?.data).not.toHaveProperty('valuesTruncated');
    expect(cut?.data).toMatchObject({ values: ['v'.repeat(1024)], valuesTruncated: true });
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

  it('may be asked for in other ways: a port of this machine, variables, psql by gate, direct TLS after a wish for GSSAPI', async () => {
    const { person } = reader;
    const env = reader.env();
    const variables = await person.json<Record<string, string>>(['db', 'env', 'pg-1'], { env });
    expect((await run('psql', ['-XAtc', 'select 2'], { env: variables })).stdout).toBe('2\n');
    const args = ['db', 'connect', 'pg-1', '--', '-XAtc', 'select 3'];
    expect(await person.gate(args, { env })).toMatchObject({ code: 0, stdout: '3\n' });
    const options = `-c gatehouse.target=pg-1`;
    const status = await person.json<Record<string, string>>(['status']);
    const plain = {
      ...variables,
      PGSSLCERT: status['tlsCertFile'],
      PGSSLKEY: status['tlsKeyFile'],
    };
    const byOptions = await run('psql', ['-XAtc', 'select 4'], {
      env: { ...(plain as Record<string, string>), PGOPTIONS: options },
    });
    expect(byOptions).toMatchObject({ code: 0, stdout: '4\n' });
    const helper = spawn(join(world.home.root, 'bin/gate'), ['proxy', 'db', 'pg-1'], {
      env: {
        ...process.env,
        GATE_HOME: person.gateHome,
        GATE_PROXY: world.home.ready.proxyAddr,
        NO_COLOR: '1',
      },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let said = '';
    helper.stdout.on('data', (chunk: Buffer) => (said += String(chunk)));
    const [, port = ''] = await eventually('the port', () => /:(\d+)\n/.exec(said) ?? undefined);
    const local = `host=127.0.0.1 port=${port} user=reader dbname=app`;
    for (const mode of ['disable', 'prefer'])
      expect(
        (await run('psql', ['-XAtc', 'select 5', '-d', `${local} sslmode=${mode}`])).stdout,
      ).toBe('5\n');
    helper.kill('SIGTERM');
    expect((await direct(reader, ['gss', 'direct'])).startsWith('R')).toBe(true);
    expect((await direct(reader, ['direct'])).startsWith('R')).toBe(true);
    expect(await person.gate(['db', 'logout', 'pg-1'], { env })).toMatchObject({ code: 0 });
    expect((await reader.psql('select 1')).code).toBe(2);
    reader = await DatabasePerson.login(person, 'pg-1', ['--db-name', 'app']);
  });

  it('gives a certificate for a database nothing else', async () => {
    const { certFile, keyFile } = reader.access;
    const status = await reader.person.json<Record<string, string>>(['status']);
    const files = [
      ['tlsCertFile', certFile],
      ['tlsKeyFile', keyFile],
    ] as const;
    for (const [name, file] of files) copyFileSync(file, status[name] ?? '');
    try {
      expect((await reader.person.gate(['ls'])).code).toBe(1);
      expect((await reader.person.gate(['audit', 'search'])).code).toBe(1);
      // Its keys are gone then, and nothing is left that leads to them.
      const env = reader.env();
      expect((await reader.person.gate(['logout'], { env })).code).toBe(0);
      expect(readFileSync(env['PGSERVICEFILE'] ?? '', 'utf8')).toBe('');
    } finally {
      await reader.person.login();
    }
    reader = await DatabasePerson.login(reader.person, 'pg-1', ['--db-name', 'app']);
    const bound = await DatabasePerson.login(world.person('olga'), 'pg-1', [
      '--db-user',
      'owner',
      '--db-name',
      'app',
    ]);
    const other = await bound.psql('select 1', { settings: 'user=bench dbname=bench' });
    expect(other.stderr).toContain('denied: the certificate is for');
  });

  it('logs in by a certificate of the cluster, bound to the user by one line', async () => {
    await database.trustCertificates(await exportCa(world.ada, 'db_client'), 'pg-2');
    const { password: _password, ...auth } = { password: '', certificate: true };
    const spec = { ...database.spec, auth };
    const target = { kind: 'database', name: 'pg-2', labels: { env: 'staging' }, spec };
    world.agents.set('pg2', await joinAgent(world.ada, 'pg2', [target]));
    const person = world.person('olga');
    const by = await DatabasePerson.login(person, 'pg-2', [
      '--db-user',
      'certified',
      '--db-name',
      'app',
    ]);
    expect(await by.psql('select current_user')).toMatchObject({ code: 0, stdout: 'certified\n' });
    const issued = await waitForEvent(world.ada, { type: 'certificate.issued', target: 'pg-2' });
    expect(issued).toMatchObject({ actor: { kind: 'agent' }, data: { kinds: ['db_client'] } });
  });

  it('ends with its reason: a lock at once, a change of policy with the answer to what runs', async () => {
    const from = new Date().toISOString();
    const busy = await owner.connect();
    const told: string[] = [];
    busy.on('error', (error: Error & { code?: string }) =>
      told.push(`${error.code}: ${error.message}`),
    );
    const running = busy.query("select pg_sleep(3), 'whole' as answer");
    await eventually('it to run', async () => {
      const rows = await database.query(
        "select pid from pg_stat_activity where query like '%whole%' and state = 'active' and usename = 'owner'",
      );
      return rows.length === 1;
    });
    await world.apply({
      kind: 'role',
      version: 'v1',
      metadata: { name: 'db-owner' },
      spec: { allow: { db_labels: { env: 'prod' }, db_users: ['owner'], db_names: ['app'] } },
    });
    expect((await running).rows[0]).toMatchObject({ answer: 'whole' });
    await eventually('the end', () => told.length > 0);
    expect(told[0]).toBe('57P01: access changed');
    await world.apply(...databaseRoles);
    const locked = await owner.connect();
    const lockedTold: string[] = [];
    locked.on('error', (error: Error & { code?: string }) =>
      lockedTold.push(`${error.code}: ${error.message}`),
    );
    const cut = locked.query('select pg_sleep(600)').catch((error: Error) => error.message);
    const lock = await world.ada.json<{ metadata: { name: string } }>([
      'lock',
      '--user',
      'olga',
      '--message',
      'incident 7',
    ]);
    expect(await cut).toContain('locked: incident 7');
    await world.ada.gate(['delete', `lock/${lock.metadata.name}`, '--yes']);
    await eventually(
      'the sleeper to be gone',
      async () => {
        const rows = await database.query(
          "select 1 from pg_stat_activity where query like '%pg_sleep(600)%' and usename = 'owner'",
        );
        return rows.length === 0;
      },
      10_000,
    );
    const ends = await eventually('both ends', async () => {
      const found = await searchEvents(world.ada, { type: 'session.ended', user: 'olga', from });
      return found.length >= 2 ? found.map(({ reason }) => reason) : undefined;
    });
    expect(ends.toReversed()).toEqual(['policy', 'lock']);
  });

  it('ends a session whose statements become restricted, with what it had left open (PG-10)', async () => {
    const roleOf = (more: object) => ({
      kind: 'role',
      version: 'v1',
      metadata: { name: 'db-turned' },
      spec: {
        allow: {
          db_labels: { env: 'staging' },
          db_users: ['owner'],
          db_names: ['app'],
          ...more,
        },
      },
    });
    await world.apply(roleOf({}));
    const person = await world.add('tina', ['db-turned']);
    const flags = ['--db-user', 'owner', '--db-name', 'app'];
    const tina = await DatabasePerson.login(person, 'pg-1', flags);
    const client = await tina.connect();
    const told: string[] = [];
    client.on('error', (error: Error & { code?: string }) =>
      told.push(`${error.code}: ${error.message}`),
    );
    await client.query('declare kept cursor with hold for select * from items');
    await client.query('set search_path = pg_catalog');
    await world.apply(roleOf({ db_statements: ['select'], db_tables: ['public.orders'] }));
    await eventually('the end', () => told.length > 0);
    expect(told[0]).toBe('57P01: access changed: statements are restricted further');
    const ended = await waitForEvent(world.ada, { type: 'session.ended', user: 'tina' });
    expect(ended).toMatchObject({ reason: 'policy' });
    // What allows more leaves it open.
    const later = await tina.connect();
    await expect(later.query('select * from items')).rejects.toMatchObject({ code: '42501' });
    const db_tables = ['public.orders', 'public.items'];
    await world.apply(roleOf({ db_statements: ['select'], db_tables }));
    await eventually('the rows', async () =>
      later.query('select * from items').then(
        () => true,
        () => false,
      ),
    );
    await later.end();
  });

  it('refuses replication unless a role allows it', async () => {
    const result = await reader.psql('identify_system', { settings: 'replication=database' });
    expect(result.stderr).toContain('allows replication from pg-1');
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
  });

  it('keeps 50 connections apart, each with a backend and a session of its own (PG-03)', async () => {
    const from = new Date().toISOString();
    const clients = await Promise.all(Array.from({ length: 50 }, async () => owner.connect()));
    await Promise.all(
      clients.map(async (client, index) => {
        for (let round = 0; round < 5; round += 1) {
          const key = 1000 + index * 10 + round;
          await client.query('insert into items values ($1, $2)', [key, `client-${index}`]);
          const { rows } = await client.query('select name from items where id = $1', [key]);
          expect(rows).toEqual([{ name: `client-${index}` }]);
        }
      }),
    );
    const [{ count } = { count: 0 }] = await database.query(
      "select count(*)::int from pg_stat_activity where usename = 'owner'",
    );
    expect(count).toBe(50);
    await Promise.all(clients.map(async (client) => client.end()));
    await eventually('50 ends', async () => {
      const ended = await searchEvents(world.ada, { type: 'session.ended', user: 'olga', from });
      return ended.length === 50;
    });
    await database.query('delete from items');
  });

  it('holds up nobody else where one session does not take what it is sent (PG-11)', async () => {
    const stalled = await reader.connect();
    const stream = (
      stalled as unknown as { connection: { stream: { pause(): void; resume(): void } } }
    ).connection.stream;
    stream.pause();
    const rows = stalled.query("select repeat('x', 1000) from generate_series(1, 200000)");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const agentMemory = async () =>
      Number((await run('ps', ['-o', 'rss=', '-p', String(world.agents.get('pg')?.pid)])).stdout);
    const client = await owner.connect();
    const times: number[] = [];
    for (let round = 0; round < 50; round += 1) {
      const at = performance.now();
      await client.query('select 1');
      times.push(performance.now() - at);
    }
    expect(times.toSorted((a, b) => a - b)[25]).toBeLessThan(100);
    expect(await agentMemory()).toBeLessThan(400 * 1024);
    stream.resume();
    expect((await rows).rowCount).toBe(200_000);
    await stalled.end();
    await client.end();
  }, 120_000);
});
