/** PostgreSQL where it takes a cluster: PG-05 through the other proxy, AUD-03, what is left when a part dies; stock tools. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { TargetDatabase } from '../servers/target-database.js';
import { waitForAgent } from '../stack/agent.js';
import type { Cluster } from '../stack/cluster.js';
import { DatabasePerson } from '../stack/database-client.js';
import { addDatabase, databaseRoles } from '../stack/database-world.js';
import { exportEvents, searchEvents, waitForEvent } from '../stack/events.js';
import { eventually, run } from '../stack/run.js';
import { createClusterWorld, type World } from '../stack/world.js';

const ownerFlags = ['--db-user', 'owner', '--db-name', 'app'];

describe('PostgreSQL in a cluster', () => {
  let world: World<Cluster>;
  let database: TargetDatabase;
  let owner: DatabasePerson;
  beforeAll(async () => {
    world = await createClusterWorld({
      only: 'staging',
      roles: databaseRoles,
      people: {
        olga: ['db-owner'],
        bert: ['db-owner'],
        sven: ['db-strict'],
      },
    });
    database = await addDatabase(world, ["log_statement = 'all'", 'max_connections = 200']);
    await database.query('create table items (id int primary key, name text)');
    await database.query('grant all on items to owner');
    await database.query('grant create on schema public to owner');
    await database.query('create database bench owner bench');
    owner = await DatabasePerson.login(world.person('olga'), 'pg-1', ownerFlags);
  }, 240_000);
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });

  const activeLike = async (text: string) =>
    (
      await database.query(
        `select pid from pg_stat_activity where query like '%${text}%' and usename in ('owner', 'reader') and state = 'active'`,
      )
    ).length;
  const startSleeper = (host: string): ChildProcess =>
    spawn(
      'psql',
      ['-Xd', `service=${owner.access.service} ${host}`, '-c', 'select pg_sleep(600)'],
      { env: { ...process.env, ...owner.env() }, stdio: ['ignore', 'ignore', 'pipe'] },
    );
  const through = (proxy: number) => {
    const [, port = ''] = /:(\d+)$/.exec(world.home.ready.proxies[proxy] ?? '') ?? [];
    return `port=${port}`;
  };

  it('cancels by a key that is shown to the other proxy, and by no forged one (PG-05)', async () => {
    const child = startSleeper(through(0));
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => (stderr += String(chunk)));
    await eventually('the sleeper', async () => (await activeLike('pg_sleep(600)')) === 1);
    const client = await owner.connect({ port: Number(through(0).slice(5)) });
    const { processID, secretKey } = client as unknown as Record<string, number>;
    const sleeping = client.query('select pg_sleep(600), 1').catch((error: Error) => error.message);
    await eventually('both', async () => (await activeLike('pg_sleep(600)')) === 2);
    const show = async (pid: number, secret: number) => {
      const packet = Buffer.alloc(16);
      packet.writeUInt32BE(16, 0);
      packet.writeUInt32BE(80_877_102, 4);
      packet.writeInt32BE(pid, 8);
      packet.writeInt32BE(secret | 0, 12);
      const { connect } = await import('node:net');
      const socket = connect(Number(through(1).slice(5)), '127.0.0.1');
      socket.write(packet);
      await once(socket.resume(), 'close');
    };
    await show(processID ?? 0, (secretKey ?? 0) ^ 1);
    await show((processID ?? 0) + 1, secretKey ?? 0);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await activeLike('pg_sleep(600)')).toBe(2);
    await show(processID ?? 0, secretKey ?? 0);
    expect(await sleeping).toContain('canceling statement due to user request');
    expect(await activeLike('pg_sleep(600)')).toBe(1);
    await client.end();
    child.kill('SIGINT');
    await eventually('the cancel of psql', () => child.exitCode !== null);
    expect(stderr).toContain('canceling statement');
  });

  it.each(['agent', 'tunnel', 'proxy'] as const)(
    'leaves no backend behind when the %s is killed in a statement, and says how it ended',
    async (part) => {
      const from = new Date().toISOString();
      const child = startSleeper(through(0));
      let stderr = '';
      child.stderr?.on('data', (chunk: Buffer) => (stderr += String(chunk)));
      await eventually('the sleeper', async () => (await activeLike('pg_sleep(600)')) === 1);
      const started = await waitForEvent(world.ada, {
        type: 'session.started',
        user: 'olga',
        from,
      });
      const agent = world.agents.get('pg');
      const service =
        part === 'proxy'
          ? world.home.of('proxy')[0]
          : world.home.of('tunnel').find(({ replica }) => replica === started.data['tunnel']);
      if (part === 'agent') await agent?.stop('SIGKILL');
      else await service?.stop('SIGKILL');
      await eventually('psql to end', () => child.exitCode !== null, 15_000);
      expect(child.exitCode).not.toBe(0);
      if (part !== 'proxy') expect(stderr).toContain('the connection to pg-1 was lost');
      await eventually(
        'the backend to go',
        async () => (await activeLike('pg_sleep(600)')) === 0,
        10_000,
      );
      if (part === 'agent') agent?.start();
      else await service?.start();
      const event = await eventually(
        'what became of the statement',
        async () => {
          const [found] = await searchEvents(world.ada, {
            type: 'db.statement_executed',
            user: 'olga',
            from,
          });
          return found;
        },
        90_000,
      );
      expect(event).toMatchObject({
        outcome: 'failure',
        reason: { agent: 'agent_lost', tunnel: 'tunnel_lost', proxy: 'proxy_lost' }[part],
        data: { statement: 'select pg_sleep(600)' },
      });
      if (agent !== undefined) await waitForAgent(world.ada, agent, ['pg-1'], 30_000);
    },
    150_000,
  );

  it('runs nothing that the event log has not acknowledged where audit is strict (AUD-03)', async () => {
    const sven = await DatabasePerson.login(world.person('sven'), 'pg-1', ['--db-name', 'app']);
    const strict = await sven.connect();
    await strict.query("select 'strict-before'");
    const started = await waitForEvent(world.ada, { type: 'db.statement_started', user: 'sven' });
    expect(started.data['statement']).toBe("select 'strict-before'");
    const loose = await owner.connect();
    await world.home.kafka.kill();
    try {
      const refused = strict.query("select 'strict-while-away'");
      expect((await loose.query("select 'loose-while-away' as said")).rows).toEqual([
        { said: 'loose-while-away' },
      ]);
      await expect(refused).rejects.toMatchObject({
        code: '58030',
        message: 'audit is not available',
      });
      await expect(
        strict.query({ name: 'p', text: "select 'strict-prepared'" }),
      ).rejects.toMatchObject({
        code: '58030',
      });
    } finally {
      await world.home.kafka.restart();
    }
    expect(database.log).toContain('loose-while-away');
    expect(database.log).not.toContain('strict-while-away');
    await eventually(
      'strict statements again',
      async () =>
        strict.query("select 'strict-after'").then(
          () => true,
          () => undefined,
        ),
      60_000,
    );
    await strict.end();
    await loose.end();
  }, 180_000);

  it('lets pg_dump and pg_restore, and pgbench in every protocol, run unchanged', async () => {
    const bench = await DatabasePerson.login(world.person('bert'), 'pg-1', [
      '--db-user',
      'bench',
      '--db-name',
      'bench',
    ]);
    const env = bench.env();
    const service = 'service=pg-1';
    const made = await run('pgbench', ['-i', '-s', '2', '-q', service], {
      env,
      timeoutMs: 120_000,
    });
    expect(made.code, made.stderr).toBe(0);
    const dir = join(world.home.folder('dump'), 'dump');
    const dumped = await run('pg_dump', ['-Fd', '-j4', '-f', dir, '-d', service], {
      env,
      timeoutMs: 120_000,
    });
    expect(dumped.code, dumped.stderr).toBe(0);
    const sum = "select md5(string_agg(a::text, ',' order by aid)) from pgbench_accounts a";
    const before = await database.query(sum, 'bench');
    const restored = await run('pg_restore', ['-c', '-j4', '-d', service, dir], {
      env,
      timeoutMs: 120_000,
    });
    expect(restored.code, restored.stderr).toBe(0);
    expect(await database.query(sum, 'bench')).toEqual(before);
    for (const mode of ['simple', 'extended', 'prepared']) {
      const from = new Date().toISOString();
      const result = await run(
        'pgbench',
        ['-n', '-c', '8', '-j', '2', '-t', '20', '-M', mode, service],
        {
          env,
          timeoutMs: 120_000,
        },
      );
      expect(result.code, result.stderr).toBe(0);
      expect(result.stdout).toContain('number of transactions actually processed: 160/160');
      // Seven statements in each transaction, and one by which pgbench looks at its tables first.
      await eventually(
        `the statements of ${mode}`,
        async () => {
          const type = 'db.statement_executed';
          const told = await exportEvents(world.ada, { type, user: 'bert', from });
          return told.length >= 160 * 7;
        },
        30_000,
      );
    }
  }, 400_000);
});
