/** Clients of PostgreSQL beside psql and `pg`, and what takes them long: drivers of other languages, very many names, silence. */
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { TargetDatabase } from '../servers/target-database.js';
import { DatabasePerson } from '../stack/database-client.js';
import { addDatabase, databaseRoles } from '../stack/database-world.js';
import { exportEvents } from '../stack/events.js';
import { root } from '../stack/installation.js';
import { eventually, run } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

describe('PostgreSQL', () => {
  let world: World;
  let database: TargetDatabase;
  let owner: DatabasePerson;
  const flags = ['--db-user', 'owner', '--db-name', 'app'];
  beforeAll(async () => {
    world = await createWorld({
      only: 'staging',
      roles: databaseRoles,
      people: { olga: ['db-owner'] },
    });
    database = await addDatabase(world);
    await database.query('grant create on schema public to owner');
    owner = await DatabasePerson.login(world.person('olga'), 'pg-1', flags);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });

  it('goes on with very many prepared statements that nobody closes (PG-06)', async () => {
    const client = await owner.connect();
    for (let index = 0; index < 10_000; index += 1)
      await client.query({ name: `many-${index}`, text: 'select 1' });
    expect((await client.query({ name: 'many-0', text: 'select 1' })).rowCount).toBe(1);
    await client.end();
  }, 300_000);

  it('asks silent clients and databases whether they are still there', async () => {
    const client = await owner.connect();
    await client.query('select 1');
    const { stdout } = await run('ss', ['-tnoH', 'state', 'established']);
    const asking = (port: number) =>
      stdout.split('\n').some((line) => line.includes(`:${port} `) && line.includes('keepalive'));
    expect(asking(owner.access.port)).toBe(true);
    expect(asking(Number(database.server.address.split(':')[1]))).toBe(true);
    await client.end();
  });

  describe('with drivers of other languages', () => {
    const clients = join(root, 'e2e/clients');
    const lines = ({ stdout }: { readonly stdout: string }) => stdout.trim().split('\n');
    const told = async (from: string, text: string, count: number) =>
      eventually(`${count} of ${text}`, async () => {
        const type = 'db.statement_executed';
        const all = await exportEvents(world.ada, { type, user: 'olga', from });
        return all.filter(({ data }) => data['statement'] === text).length === count;
      });

    it('serves asyncpg as the server itself does', async () => {
      const from = new Date().toISOString();
      const { host, port, user, database: name, certFile, keyFile, caFile } = owner.access;
      const script = join(clients, 'asyncpg_client.py');
      const args = [script, host, String(port), user, name, certFile, keyFile, caFile];
      const result = await run('/usr/bin/python3', args, { timeoutMs: 60_000 });
      expect(result.stderr).toBe('');
      expect(lines(result)).toEqual([
        'parameters 42',
        'prepared once! again!',
        'many 500',
        'rolled back 500 division by zero',
        'cursor 124750',
        'copy in COPY 2000',
        'copy out 10',
        'listen said',
        'cancelled still here',
        'pool 9900',
      ]);
      await told(from, 'select $1::int * 2', 100);
      await told(from, 'insert into asyncpg_items values ($1, $2)', 500);
    });

    it('serves JDBC as the server itself does', async () => {
      const from = new Date().toISOString();
      const { host, port, user, database: name, certFile, keyFile, caFile } = owner.access;
      const key = join(world.home.folder('jdbc'), 'key.pk8');
      const convert = [
        'pkcs8',
        '-topk8',
        '-nocrypt',
        '-outform',
        'DER',
        '-in',
        keyFile,
        '-out',
        key,
      ];
      expect(await run('openssl', convert)).toMatchObject({ code: 0 });
      const url = `jdbc:postgresql://${host}:${port}/${name}`;
      const program = ['-cp', '/usr/share/java/postgresql.jar', join(clients, 'JdbcClient.java')];
      const args = [...program, url, user, certFile, key, caFile];
      const result = await run('java', args, { timeoutMs: 120_000 });
      expect(result.stderr).toBe('');
      expect(lines(result)).toEqual([
        'prepared round 7!',
        'batch 500',
        'refused 23505',
        'in transaction 400',
        'rolled back 500',
        'fetched 124750',
        'copy in 2000',
        'copy out 10',
        'large object 300000',
        'listen said',
        'cancelled 57014',
        'still here 1',
      ]);
      await told(from, "select $1 || '!'", 8);
    }, 150_000);
  });
});
