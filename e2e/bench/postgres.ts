/**
 * PostgreSQL in one run: pgbench's SELECTs and COPY straight over TLS, through PgBouncer (session mode, TLS on both sides),
 * through the facet alone and through Gatehouse (proxy, tunnel and agent, audit on), taken in turns; and with strict audit.
 */
import { addDatabase, databaseRoles } from '../stack/database-world.js';
import { run } from '../stack/run.js';
import { createClusterWorld } from '../stack/world.js';
import { loadAverage } from './measure.js';
import { CopyGround, tableOfCopies, type CopySample } from './postgres/copy.js';
import {
  clientCounts,
  measureTransactions,
  modes,
  tableOfTransactions,
  type TransactionSample,
} from './postgres/transactions.js';
import { createWays, strictRole, type Way } from './postgres/ways.js';
import { describeMachine, type Bench, type BenchOptions, type Report } from './report.js';

export const postgresBench: Bench = {
  name: 'postgres',
  summary: 'pgbench and COPY straight, through PgBouncer and through Gatehouse; strict',
  run: runPostgres,
};

const runSeconds = 4;
/** What runs as often as here is compiled late. */
const warmUpSeconds = 20;

async function runPostgres(options: BenchOptions): Promise<Report> {
  const startedAt = new Date().toISOString();
  const loadBefore = loadAverage();
  await using stack = new AsyncDisposableStack();
  const ways = await prepare(stack);
  const [direct] = ways;
  const transactions: TransactionSample[] = [];
  const copies: CopySample[] = [];
  const ground = stack.use(await CopyGround.create(direct));
  for (const way of ways) {
    options.progress(`warming up: ${way.name}`);
    await measureTransactions(way, { mode: 'simple', clients: 8, runSeconds: warmUpSeconds });
  }
  for (let round = 1; round <= Math.max(1, Math.floor(options.rounds / 7)); round += 1) {
    for (const mode of modes)
      for (const clients of clientCounts)
        for (const way of ways) {
          options.progress(`round ${round}: ${mode}, ${clients} clients, ${way.name}`);
          transactions.push(await measureTransactions(way, { mode, clients, runSeconds }));
        }
    for (const way of ways) {
      options.progress(`round ${round}: COPY, ${way.name}`);
      copies.push(...(await ground.measure(way)));
    }
  }
  return {
    bench: 'postgres',
    startedAt,
    endedAt: new Date().toISOString(),
    machine: describeMachine(),
    options: { runSeconds, rounds: options.rounds },
    tables: [
      ...modes.map((mode) => tableOfTransactions(ways, transactions, mode)),
      tableOfCopies(ways, copies),
    ],
    notes: [
      'TPS of pgbench -S, scale 10; in brackets the ratio to PgBouncer of the same row, then p99, then CPU of the way for each transaction.',
      'CPU of Gatehouse is that of proxy, tunnel and agent; audit-service and Kafka come beside it on the same two processors.',
      `Load average ${loadBefore} before, ${loadAverage()} after.`,
    ],
    samples: { transactions, copies },
  };
}

async function prepare(
  stack: AsyncDisposableStack,
): Promise<readonly [direct: Way, ...others: Way[]]> {
  const world = stack.use(
    await createClusterWorld({
      only: 'staging',
      replicas: { auth: 1, proxy: 1, tunnel: 1, audit: 1 },
      roles: [...databaseRoles, strictRole],
      people: { olga: ['db-owner'], sam: ['bench-strict'] },
      isBuilt: true,
    }),
  );
  const settings = ['max_connections = 200', 'synchronous_commit = off'];
  const database = stack.use(await addDatabase(world, settings));
  await database.query('create database bench owner bench', 'postgres');
  const ways = await createWays(world, database, stack);
  const [{ target, env }] = ways;
  const made = await run('pgbench', ['-i', '-s', '10', '-q', target], { env, timeoutMs: 120_000 });
  if (made.code !== 0) throw new Error(made.stderr);
  return ways;
}
