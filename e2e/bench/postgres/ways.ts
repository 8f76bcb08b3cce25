/** The ways to one database that are compared. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { startPgBouncer } from '../../servers/pgbouncer.js';
import type { TargetDatabase } from '../../servers/target-database.js';
import type { Cluster } from '../../stack/cluster.js';
import { DatabasePerson } from '../../stack/database-client.js';
import type { World } from '../../stack/world.js';
import { cpuSeconds } from '../measure.js';

/** A way to the database. */
export interface Way {
  readonly name: string;
  /** Connection string for pgbench and psql. */
  readonly target: string;
  readonly env: Readonly<Record<string, string>>;
  /** Processes whose CPU is that of the way. */
  readonly pids: () => readonly number[];
}

/** Seconds of all its processes together. */
export function cpuOfWay(way: Way): number {
  return way.pids().reduce((sum, pid) => sum + cpuSeconds(pid), 0);
}

export const strictRole = {
  kind: 'role',
  version: 'v1',
  metadata: { name: 'bench-strict' },
  spec: {
    options: { audit: 'strict' },
    allow: { db_labels: { env: 'staging' }, db_users: ['bench'], db_names: ['bench'] },
  },
};

/** The database straight, PgBouncer, the facet alone, and the whole product for olga and, strict, for sam. */
export async function createWays(
  world: World<Cluster>,
  database: TargetDatabase,
  stack: AsyncDisposableStack,
): Promise<readonly [direct: Way, ...others: Way[]]> {
  const bouncer = stack.use(await startPgBouncer(database, 'bench'));
  const relay = stack.use(await startRelay(database));
  const password = { PGPASSWORD: database.password };
  const [, port] = database.server.address.split(':');
  const own = (at: string | number | undefined) =>
    `host=127.0.0.1 port=${at} user=bench dbname=bench sslmode=require`;
  return [
    { name: 'direct', target: own(port), env: password, pids: () => [] },
    { name: 'PgBouncer', target: own(bouncer.port), env: password, pids: () => [bouncer.pid] },
    { name: 'facet alone', target: own(relay.port), env: {}, pids: () => [relay.pid] },
    await throughGatehouse(world, { name: 'Gatehouse', person: 'olga' }),
    await throughGatehouse(world, { name: 'Gatehouse, strict', person: 'sam' }),
  ];
}

async function throughGatehouse(
  world: World<Cluster>,
  { name, person }: { readonly name: string; readonly person: string },
): Promise<Way> {
  const flags = ['--db-user', 'bench', '--db-name', 'bench'];
  const client = await DatabasePerson.login(world.person(person), 'pg-1', flags);
  // The balancer of the stack is not part of the way.
  const [, port] = (world.home.ready.proxies[0] ?? '').split(':');
  const pids = () => [
    ...world.home.of('proxy').map(({ pid }) => pid),
    ...world.home.of('tunnel').map(({ pid }) => pid),
    world.agents.get('pg')?.pid ?? 0,
  ];
  return { name, target: `service=pg-1 port=${port}`, env: client.env(), pids };
}

interface Relay extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
}

async function startRelay(database: TargetDatabase): Promise<Relay> {
  const data = join(database.dir, 'data');
  const settings = {
    dir: join(database.dir, 'relay-spool'),
    keyFile: join(data, 'server.key'),
    certificateFile: join(data, 'server.crt'),
    spec: database.spec,
  };
  // As it is built, like the services beside it: what runs sources adds to the cost of each function.
  const program = join(import.meta.dirname, '../../dist/bench/postgres/relay-process.js');
  const child = spawn(process.execPath, [program, JSON.stringify(settings)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [port] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    pid: child.pid ?? 0,
    port: Number(port),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      const gone = once(child, 'exit');
      child.stdin.end();
      await gone;
    },
  };
}
