/**
 * A cluster of processes on loopback (contract.md §5): PostgreSQL and Kafka, the four services with replicas, a balancer
 * over the proxies. What `pnpm dev:cluster` shows and what e2e runs against are this one.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findFreePort, type TestKafka } from '@gatehouse/kit/testing';
import { z } from 'zod';

import { startKafka } from '../servers/kafka.js';
import { Postgres } from '../servers/postgres.js';
import { startBalancer } from './balancer.js';
import { Installation, type Ready } from './installation.js';
import { databases, makePlan, type Plan, type Replicas } from './plan.js';
import { run } from './run.js';
import { Service, type ServiceName } from './service.js';

export const defaultReplicas: Replicas = { auth: 1, proxy: 2, tunnel: 2, audit: 1 };

/** A part as `ready.json` lists it. */
export interface Part {
  readonly name: ServiceName | 'kafka' | 'postgres';
  /** srv_… of a service; a number of the others. */
  readonly replica: string;
  readonly pid: number;
  readonly command: string;
  readonly configFile: string;
  readonly logFile: string;
  readonly metricsUrl: string;
}

export interface ClusterReady extends Ready {
  readonly proxies: readonly string[];
  readonly kafka: string;
  readonly postgres: string;
  readonly services: readonly Part[];
}

export interface ClusterOptions {
  /** Where everything lasts; default: a temporary folder. */
  readonly dataDir?: string;
  readonly replicas?: Replicas;
  /** Run what `pnpm build` has made in place of the sources. Default false. */
  readonly isBuilt?: boolean;
  readonly onStep?: (step: string) => void;
}

const clusterName = 'dev';

export class Cluster extends Installation {
  override readonly dir: string;
  readonly services: readonly Service[];
  readonly postgres: Postgres;
  readonly kafka: TestKafka;
  override readonly ready: ClusterReady;
  readonly #stack: AsyncDisposableStack;

  constructor(
    parts: Pick<Cluster, 'dir' | 'services' | 'postgres' | 'kafka' | 'ready'>,
    stack: AsyncDisposableStack,
  ) {
    super();
    this.dir = parts.dir;
    this.services = parts.services;
    this.postgres = parts.postgres;
    this.kafka = parts.kafka;
    this.ready = parts.ready;
    this.#stack = stack;
  }

  /** Those of one kind. */
  of(name: ServiceName): Service[] {
    return this.services.filter((service) => service.name === name);
  }

  override get log(): string {
    return this.services.map(({ log }) => log.slice(-2000)).join('\n');
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { replicas = defaultReplicas, onStep = () => undefined } = options;
  await using stack = new AsyncDisposableStack();
  const dir = prepareFolder(options.dataDir, stack);
  const startedAt = new Date().toISOString();
  const readyFile = join(dir, 'ready.json');
  rmSync(readyFile, { force: true });
  stack.defer(() => rmSync(readyFile, { force: true }));
  onStep('PostgreSQL and Kafka');
  const [postgres, kafka] = await Promise.all([
    new Postgres(postgresDir(dir)).start(),
    startKafka({ dir: join(dir, 'kafka') }),
  ]);
  stack.use(postgres);
  stack.use(kafka);
  await makeDatabases(postgres);
  const balancerPort = await findFreePort();
  const plan = await makePlan({
    dataDir: dir,
    replicas,
    isBuilt: options.isBuilt ?? false,
    postgres,
    kafka,
    balancerPort,
  });
  onStep('migrations');
  await migrateDatabases(postgres, plan);
  onStep('auth-service');
  for (const service of plan.auth) stack.use(await service.start());
  onStep('audit-service, tunnel-service, proxy-service');
  const others = [...plan.audit, ...plan.tunnel, ...plan.proxy];
  for (const service of others) stack.use(service);
  await Promise.all(others.map(async (service) => service.start()));
  const isReady = async (address: string) => {
    const proxy = plan.proxy.find(({ listen }) => listen === address);
    return (await proxy?.readiness())?.code === 200;
  };
  const balancer = stack.use(await startBalancer(balancerPort, plan.proxies, isReady));
  const services = [...plan.auth, ...others];
  const ready: ClusterReady = {
    version: 1,
    pid: process.pid,
    clusterName,
    proxyAddr: `localhost:${balancerPort}`,
    webUrl: `https://localhost:${balancerPort}`,
    caPin: await readPin(balancer.address),
    adminInviteUrl: await inviteAdministrator(plan.auth[0]),
    metricsUrl: plan.proxy[0]?.metricsUrl ?? '',
    startedAt,
    proxies: plan.proxies,
    kafka: kafka.address,
    postgres: postgres.url,
    services: [...services.map(describeService), ...describeServers(postgres, kafka)],
  };
  writeWhole(readyFile, JSON.stringify(ready, undefined, 2));
  return new Cluster({ dir, services, postgres, kafka, ready }, stack.move());
}

/** The given one, or a temporary one that goes with all that lies in it. */
function prepareFolder(given: string | undefined, stack: AsyncDisposableStack): string {
  const dir = given ?? mkdtempSync(join(tmpdir(), 'gatehouse-cluster-'));
  // A database without the folder that has its keys is of no use to anybody.
  if (!existsSync(join(dir, 'secrets'))) rmSync(postgresDir(dir), { recursive: true, force: true });
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (given === undefined && process.env['GATEHOUSE_KEEP'] === undefined)
    stack.defer(() => {
      for (const path of [dir, postgresDir(dir)]) rmSync(path, { recursive: true, force: true });
    });
  return dir;
}

/** The OS user `postgres` can't reach a folder of somebody else's, so its data lies where everybody may go. */
function postgresDir(dataDir: string): string {
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  return join(tmpdir(), `gatehouse-postgres-${name}`);
}

/** Owns the tables of both databases and migrates them; the services' own users may not change a table. */
const migrator = 'gatehouse_migrate';

async function makeDatabases(postgres: Postgres): Promise<void> {
  await postgres.ask(`create role ${migrator} login`).catch(() => undefined);
  for (const name of Object.values(databases)) {
    await postgres.ask(`create role ${name} login`).catch(() => undefined);
    await postgres.ask(`create database ${name} owner ${migrator}`).catch(() => undefined);
    await postgres.ask(`revoke all on database ${name} from public`);
    await postgres.ask(`grant connect on database ${name} to ${name}`);
  }
}

/** What the release's hook does: `migrate` of both services, as the owner of the tables. */
async function migrateDatabases(postgres: Postgres, plan: Plan): Promise<void> {
  for (const [kind, service] of [
    ['auth', plan.auth[0]],
    ['audit', plan.audit[0]],
  ] as const) {
    const [program = '', ...args] = service?.program ?? [];
    const asked = await run(program, [...args, 'migrate', '--config', service?.configFile ?? ''], {
      env: {
        [`${kind.toUpperCase()}_DATABASE_URL`]: `postgres://${migrator}@${postgres.address}/${databases[kind]}`,
      },
    });
    if (asked.code !== 0)
      throw new Error(`${kind}-service migrate: ${asked.stdout}${asked.stderr}`);
  }
}

const wellKnownSchema = z.object({ caPins: z.array(z.string()).min(1) });

/** The first contact of a cluster that was just made here: its own word is taken. */
async function readPin(address: string): Promise<string> {
  const answer = await run('curl', [
    '--silent',
    '--insecure',
    `https://${address}/.well-known/gatehouse.json`,
  ]);
  return wellKnownSchema.parse(JSON.parse(answer.stdout)).caPins[0] ?? '';
}

/** Null once there is an administrator. */
async function inviteAdministrator(auth: Service | undefined): Promise<string | null> {
  const [program = '', ...args] = auth?.program ?? [];
  const asked = await run(program, [...args, 'invite-admin', '--config', auth?.configFile ?? '']);
  return asked.code === 0 ? asked.stdout.trim() : null;
}

function describeService(service: Service): Part {
  const { name, replica, pid, command, configFile, logFile, metricsUrl } = service;
  return { name, replica, pid, command: command.join(' '), configFile, logFile, metricsUrl };
}

function describeServers(postgres: Postgres, kafka: TestKafka): Part[] {
  const common = { replica: '1', metricsUrl: '' };
  return [
    {
      ...common,
      name: 'postgres',
      pid: postgres.pid,
      command: postgres.command.join(' '),
      configFile: '',
      logFile: postgres.logFile,
    },
    {
      ...common,
      name: 'kafka',
      pid: kafka.pid,
      command: kafka.command.join(' '),
      configFile: kafka.configFile,
      logFile: kafka.logFile,
    },
  ];
}

function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
