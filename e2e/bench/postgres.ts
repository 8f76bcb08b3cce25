/**
 * PostgreSQL in one run: pgbench's SELECTs straight over TLS, through PgBouncer (session mode, TLS on both sides) and through
 * Gatehouse (proxy, tunnel and agent, audit on), taken in turns; and the same with strict audit.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startPgBouncer } from '../servers/pgbouncer.js';
import type { TargetDatabase } from '../servers/target-database.js';
import type { Cluster } from '../stack/cluster.js';
import { DatabasePerson } from '../stack/database-client.js';
import { addDatabase, databaseRoles } from '../stack/database-world.js';
import { run } from '../stack/run.js';
import { createClusterWorld, type World } from '../stack/world.js';
import { cpuSeconds, loadAverage, median, percentile } from './measure.js';
import {
  describeMachine,
  type Bench,
  type BenchOptions,
  type Report,
  type Table,
} from './report.js';

export const postgresBench: Bench = {
  name: 'postgres',
  summary: 'pgbench straight, through PgBouncer and through Gatehouse; strict',
  run: runPostgres,
};

const clientCounts = [1, 8, 32];
const modes = ['simple', 'extended', 'prepared'] as const;
const seconds = 4;
/** What runs as often as here is compiled late. */
const warmUpSeconds = 20;

/** A way to the database. */
interface Way {
  readonly name: string;
  /** Connection string for pgbench. */
  readonly target: string;
  readonly env: Readonly<Record<string, string>>;
  /** Processes whose CPU is that of the way. */
  readonly pids: () => readonly number[];
}

interface Sample {
  readonly way: string;
  readonly mode: (typeof modes)[number];
  readonly clients: number;
  readonly tps: number;
  readonly p99Ms: number;
  readonly cpuMicroseconds: number;
}

async function runPostgres(options: BenchOptions): Promise<Report> {
  const startedAt = new Date().toISOString();
  const loadBefore = loadAverage();
  await using world = await createClusterWorld({
    only: 'staging',
    replicas: { auth: 1, proxy: 1, tunnel: 1, audit: 1 },
    roles: [...databaseRoles, strictRole],
    people: { olga: ['db-owner'], sam: ['bench-strict'] },
    isBuilt: true,
  });
  await using database = await addDatabase(world, [
    'max_connections = 200',
    'synchronous_commit = off',
  ]);
  await database.query('create database bench owner bench', 'postgres');
  await using bouncer = await startPgBouncer(database, 'bench');
  const ways = await createWays(world, database, bouncer);
  const [direct] = ways;
  if (direct === undefined) throw new Error('no way');
  const made = await run('pgbench', ['-i', '-s', '10', '-q', direct.target], {
    env: direct.env,
    timeoutMs: 120_000,
  });
  if (made.code !== 0) throw new Error(made.stderr);
  const samples: Sample[] = [];
  for (const way of ways)
    await measure(way, { mode: 'simple', clients: 8, runSeconds: warmUpSeconds });
  for (let round = 0; round < Math.max(1, Math.floor(options.rounds / 7)); round += 1)
    for (const mode of modes)
      for (const clients of clientCounts)
        for (const way of ways) {
          options.progress(`round ${round + 1}: ${mode}, ${clients} clients, ${way.name}`);
          samples.push(await measure(way, { mode, clients, runSeconds: seconds }));
        }
  return {
    bench: 'postgres',
    startedAt,
    endedAt: new Date().toISOString(),
    machine: describeMachine(),
    options: { seconds, rounds: options.rounds },
    tables: modes.map((mode) => toTable(ways, samples, mode)),
    notes: [
      'TPS of pgbench -S, scale 10; in brackets the ratio to PgBouncer of the same row, then p99, then CPU of the way for each transaction.',
      'CPU of Gatehouse is that of proxy, tunnel and agent; audit-service and Kafka come beside it on the same two processors.',
      `Load average ${loadBefore} before, ${loadAverage()} after.`,
    ],
    samples,
  };
}

const strictRole = {
  kind: 'role',
  version: 'v1',
  metadata: { name: 'bench-strict' },
  spec: {
    options: { audit: 'strict' },
    allow: { db_labels: { env: 'staging' }, db_users: ['bench'], db_names: ['bench'] },
  },
};

async function createWays(
  world: World<Cluster>,
  database: TargetDatabase,
  bouncer: { readonly pid: number; readonly port: number },
): Promise<Way[]> {
  const flags = ['--db-user', 'bench', '--db-name', 'bench'];
  const olga = await DatabasePerson.login(world.person('olga'), 'pg-1', flags);
  const sam = await DatabasePerson.login(world.person('sam'), 'pg-1', flags);
  const password = { PGPASSWORD: database.password };
  const [, port] = database.server.address.split(':');
  const own = 'user=bench dbname=bench sslmode=require';
  // The balancer of the stack is not part of the way.
  const [, proxyPort] = (world.home.ready.proxies[0] ?? '').split(':');
  const service = `service=pg-1 port=${proxyPort}`;
  const gatehouse = () => [
    ...world.home.of('proxy').map(({ pid }) => pid),
    ...world.home.of('tunnel').map(({ pid }) => pid),
    world.agents.get('pg')?.pid ?? 0,
  ];
  return [
    { name: 'direct', target: `host=127.0.0.1 port=${port} ${own}`, env: password, pids: () => [] },
    {
      name: 'PgBouncer',
      target: `host=127.0.0.1 port=${bouncer.port} ${own}`,
      env: password,
      pids: () => [bouncer.pid],
    },
    { name: 'Gatehouse', target: service, env: olga.env(), pids: gatehouse },
    { name: 'Gatehouse, strict', target: service, env: sam.env(), pids: gatehouse },
  ];
}

async function measure(
  way: Way,
  {
    mode,
    clients,
    runSeconds,
  }: { readonly mode: Sample['mode']; readonly clients: number; readonly runSeconds: number },
): Promise<Sample> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-pgbench-'));
  const cpu = () => way.pids().reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  try {
    const before = cpu();
    const threads = Math.min(2, clients);
    const result = await run(
      'pgbench',
      `-n -S -l -M ${mode} -c ${clients} -j ${threads} -T ${runSeconds} --log-prefix ${join(dir, 'log')}`
        .split(' ')
        .concat(way.target),
      { env: way.env, timeoutMs: 60_000 },
    );
    if (result.code !== 0) throw new Error(`${way.name}: ${result.stderr}`);
    const used = cpu() - before;
    const number = (pattern: RegExp) => Number(pattern.exec(result.stdout)?.[1] ?? Number.NaN);
    const transactions = number(/actually processed: (\d+)/);
    return {
      way: way.name,
      mode,
      clients,
      tps: number(/tps = ([\d.]+) \(without/),
      p99Ms: percentile(readLatencies(dir), 0.99) / 1000,
      cpuMicroseconds: (used * 1e6) / transactions,
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Microseconds: the third field of each line (PostgreSQL, pgbench, per-transaction logging). */
function readLatencies(dir: string): number[] {
  return readdirSync(dir).flatMap((name) =>
    readFileSync(join(dir, name), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => Number(line.split(' ')[2])),
  );
}

function toTable(ways: readonly Way[], samples: readonly Sample[], mode: Sample['mode']): Table {
  const of = (way: string, clients: number, field: 'tps' | 'p99Ms' | 'cpuMicroseconds') =>
    median(
      samples
        .filter((one) => one.way === way && one.mode === mode && one.clients === clients)
        .map((one) => one[field]),
    );
  return {
    title: `${mode} protocol`,
    head: ['clients', ...ways.map(({ name }) => name)],
    rows: clientCounts.map((clients) => [
      String(clients),
      ...ways.map(({ name }) => {
        const ratio = of(name, clients, 'tps') / of('PgBouncer', clients, 'tps');
        const cpu =
          name === 'direct' ? '' : `, ${of(name, clients, 'cpuMicroseconds').toFixed(0)} µs`;
        return `${of(name, clients, 'tps').toFixed(0)} (${ratio.toFixed(2)}), ${of(name, clients, 'p99Ms').toFixed(1)} ms${cpu}`;
      }),
    ]),
  };
}
