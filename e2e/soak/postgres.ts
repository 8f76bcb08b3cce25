/** PostgreSQL: a database that is dumped and restored through the proxy, and many clients whose statements are counted at both ends. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { createDatabase } from '@gatehouse/kit/postgres';
import { sql } from 'kysely';

import type { TargetDatabase } from '../servers/target-database.js';
import type { Cluster } from '../stack/cluster.js';
import { DatabasePerson } from '../stack/database-client.js';
import { addDatabase, databaseRoles } from '../stack/database-world.js';
import { eventually, run } from '../stack/run.js';
import type { World } from '../stack/world.js';
import { createSoakWorld, type Soak, type SoakOptions } from './soak.js';

/** Of pgbench: 14 times 15 MiB. */
const scale = 14;
const timeoutMs = 600_000;

/** A way to the database, for tools of libpq. */
interface Way {
  readonly name: string;
  readonly target: (database: string) => string;
  readonly env: Readonly<Record<string, string>>;
}

export const postgresSoak: Soak = {
  name: 'postgres',
  summary: '200 MiB dumped and restored; --count (100) clients of pgbench for --seconds (60)',
  async run(options) {
    await using world = await createSoakWorld({
      roles: databaseRoles,
      people: { alice: ['dev'], bert: ['db-owner'] },
    });
    await using database = await addDatabase(world, [
      'max_connections = 300',
      'synchronous_commit = off',
      "shared_preload_libraries = 'pg_stat_statements'",
    ]);
    await database.query('create database bench owner bench', 'postgres');
    await database.query('create extension pg_stat_statements', 'postgres');
    const flags = ['--db-user', 'bench', '--db-name', 'bench'];
    const bert = await DatabasePerson.login(world.person('bert'), 'pg-1', flags);
    const [, port] = database.server.address.split(':');
    const direct: Way = {
      name: 'straight',
      target: (name) => `host=127.0.0.1 port=${port} user=bench dbname=${name} sslmode=require`,
      env: { PGPASSWORD: database.password },
    };
    const through: Way = {
      name: 'through Gatehouse',
      target: (name) => `service=pg-1 dbname=${name}`,
      env: bert.env(),
    };
    await tool(direct, 'pgbench', ['-i', '-s', String(scale), '-q', direct.target('bench')]);
    return [
      ...(await copy({ world, database, direct, through, say: options.say })),
      ...(await count({ world, database, through, options })),
    ];
  },
};

async function tool({ env, name }: Way, program: string, args: readonly string[]): Promise<string> {
  const result = await run(program, args, { env, timeoutMs });
  if (result.code !== 0) throw new Error(`${program} ${name}: ${result.stderr}`);
  return result.stdout;
}

async function copy({
  world,
  database,
  direct,
  through,
  say,
}: {
  world: World<Cluster>;
  database: TargetDatabase;
  direct: Way;
  through: Way;
  say: SoakOptions['say'];
}): Promise<string[]> {
  const [{ mib } = { mib: 0 }] = await database.query(
    'select pg_database_size(current_database()) / 1048576 as mib',
    'bench',
  );
  say(`a database of ${String(mib)} MiB`);
  const dirOf = ({ name }: Way) => join(world.home.folder('dumps'), name.replace(' ', '-'));
  const dumps: string[] = [];
  const tables: string[] = [];
  for (const way of [direct, through]) {
    const ms = await timed(async () => dump(way, dirOf(way)));
    dumps.push(hashFolder(dirOf(way)));
    say(`${way.name}: dumped in ${ms} s, ${dumps.at(-1)}`);
  }
  for (const way of [direct, through]) {
    const ms = await timed(async () => restore(way, dirOf(way)));
    tables.push(await hashTables(database));
    say(`${way.name}: restored in ${ms} s, ${tables.at(-1)}`);
  }
  return [
    ...(dumps[0] === dumps[1] ? [] : ['the dumps differ']),
    ...(tables[0] === tables[1] ? [] : ['the restored tables differ']),
  ];
}

async function dump(way: Way, dir: string): Promise<void> {
  await tool(way, 'pg_dump', ['-Fd', '-Z0', '-j4', '-f', dir, '-d', way.target('bench')]);
}

async function restore(way: Way, dir: string): Promise<void> {
  const tables = ['accounts', 'branches', 'tellers', 'history'].map((name) => `pgbench_${name}`);
  await tool(way, 'psql', ['-qXc', `drop table ${tables.join(', ')}`, '-d', way.target('bench')]);
  await tool(way, 'pg_restore', ['-j4', '-d', way.target('bench'), dir]);
}

/** Of what was dumped; the table of contents has the time in it. */
function hashFolder(dir: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(dir).toSorted())
    if (name !== 'toc.dat') hash.update(name).update(readFileSync(join(dir, name)));
  return hash.digest('hex').slice(0, 16);
}

async function hashTables(database: TargetDatabase): Promise<string> {
  const hash = createHash('sha256');
  for (const [table, key] of [
    ['accounts', 'aid'],
    ['branches', 'bid'],
    ['tellers', 'tid'],
  ]) {
    const text = `select md5(string_agg(t::text, ',' order by ${key})) from pgbench_${table} t`;
    hash.update(JSON.stringify(await database.query(text, 'bench')));
  }
  return hash.digest('hex').slice(0, 16);
}

async function timed(step: () => Promise<void>): Promise<string> {
  const at = performance.now();
  await step();
  return ((performance.now() - at) / 1_000).toFixed(1);
}

/**
 * Statements that the server counts, and those that the audit has. BEGIN and END are counted by the transactions instead: of a
 * prepared one PostgreSQL 15 counts the first execution alone.
 */
async function count({
  world,
  database,
  through,
  options: { count: clients = 100, seconds = 60, say },
}: {
  world: World<Cluster>;
  database: TargetDatabase;
  through: Way;
  options: SoakOptions;
}): Promise<string[]> {
  const faults: string[] = [];
  for (const mode of ['simple', 'extended', 'prepared']) {
    const before = await countStored(world.home);
    await database.query('select pg_stat_statements_reset()', 'postgres');
    const args = `-n -c ${clients} -j 2 -T ${seconds} -M ${mode}`.split(' ');
    const said = await tool(through, 'pgbench', [...args, through.target('bench')]);
    const transactions = Number(/actually processed: (\d+)/.exec(said)?.[1]);
    const failed = Number(/failed transactions: (\d+)/.exec(said)?.[1]);
    const [row] = await database.query(
      `select sum(calls)::int as calls from pg_stat_statements
       where userid = 'bench'::regrole and query !~* '^(begin|end)'`,
      'postgres',
    );
    const expected = { control: 2 * transactions, other: Number(row?.['calls']) };
    const at = performance.now();
    let stored = { control: 0, other: 0 };
    await eventually(
      'as many events',
      async () => {
        const now = await countStored(world.home);
        stored = { control: now.control - before.control, other: now.other - before.other };
        return stored.control >= expected.control && stored.other >= expected.other;
      },
      120_000,
    ).catch(() => undefined);
    say(
      `${mode}: ${transactions} transactions of ${clients} clients, ${failed} failed; the server counts ` +
        `${expected.other} statements and ${expected.control} BEGIN and END, the audit has ` +
        `${stored.other} and ${stored.control} ${((performance.now() - at) / 1_000).toFixed(1)} s later`,
    );
    if (stored.other !== expected.other || stored.control !== expected.control)
      faults.push(`${mode}: as many events as statements are not there`);
    if (failed !== 0) faults.push(`${mode}: ${failed} failed`);
  }
  return faults;
}

/** Statements that the store has; those that control transactions by themselves. */
async function countStored({ postgres }: Cluster): Promise<{ control: number; other: number }> {
  const url = postgres.url.replace(/\/[^/]*$/, '/gatehouse_audit');
  const database = createDatabase<Record<string, never>>({ url });
  try {
    const { rows } = await sql<{ control: number; all: number }>`
      select
        count(*) filter (where event like '%"class":"transaction"%')::int as control,
        count(*)::int as all
      from audit_event where type = 'db.statement_executed'`.execute(database);
    const [{ control, all } = { control: 0, all: 0 }] = rows;
    return { control, other: all - control };
  } finally {
    await database.destroy();
  }
}
