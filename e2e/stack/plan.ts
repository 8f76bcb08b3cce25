/** What a cluster on loopback consists of: the configuration file of each replica, from deploy/dev and what this start adds. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { readYamlFile } from '@gatehouse/kit/config';
import { findFreePort, type TestKafka } from '@gatehouse/kit/testing';
import { z } from 'zod';

import type { Postgres } from '../servers/postgres.js';
import { root } from './installation.js';
import { Service, type ServiceName } from './service.js';

export type Replicas = Readonly<Record<ServiceName, number>>;

/** What tests of replicas run on. */
export const twoOfEach: Replicas = { auth: 2, proxy: 2, tunnel: 2, audit: 2 };

/** Users of the services; each has a database of the same name. */
export const databases = { auth: 'gatehouse_auth', audit: 'gatehouse_audit' } as const;

const serviceKinds = ['proxy', 'tunnel', 'audit'] as const;

export interface PlanInput {
  readonly dataDir: string;
  readonly replicas: Replicas;
  readonly isBuilt: boolean;
  readonly postgres: Postgres;
  readonly kafka: TestKafka;
  readonly balancerPort: number;
}

export interface Plan extends Readonly<Record<ServiceName, readonly Service[]>> {
  readonly proxies: readonly string[];
}

/** Of one replica: where it listens, and the whole of its configuration. */
interface Replica {
  readonly listen: string;
  readonly publicListen: string;
  readonly service: Service;
}

/** Writes the configuration of every replica; nothing is started. */
export async function makePlan(input: PlanInput): Promise<Plan> {
  const { dataDir, replicas, isBuilt, postgres, kafka, balancerPort } = input;
  const secret = (name: string) => keepSecret(join(dataDir, 'secrets'), name);
  const folder = (name: string) => {
    const path = join(dataDir, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  };
  const make = async (
    name: ServiceName,
    configOf: (ports: { listen: string; publicListen: string }, number: number) => Config,
  ): Promise<Replica[]> =>
    Promise.all(
      Array.from({ length: replicas[name] }, async (_, index) => {
        const [listen, publicListen, metrics] = await Promise.all([
          freeAddress(),
          freeAddress(),
          freeAddress(),
        ]);
        const config = {
          ...readBase(name),
          event_log: { type: 'kafka', brokers: [kafka.address] },
          metrics_listen: metrics,
        };
        const more = configOf({ listen, publicListen }, index + 1);
        const service = new Service({
          name,
          number: index + 1,
          dir: dataDir,
          isBuilt,
          config: { ...config, ...more },
        });
        return { listen, publicListen, service };
      }),
    );
  const joins = Object.fromEntries(serviceKinds.map((kind) => [kind, secret(`join-${kind}`)]));
  const publicAddress = `localhost:${balancerPort}`;
  const auth = await make('auth', ({ listen, publicListen }) => ({
    listen,
    public_listen: publicListen,
    public_addr: publicAddress,
    database: databaseOf('auth', postgres),
    kek_file: secret('kek'),
    join_secret_files: joins,
  }));
  const authOf = (kind: (typeof serviceKinds)[number]) => ({
    address: auth.map(({ listen }) => listen),
    join_secret_file: joins[kind] ?? '',
  });
  const audit = await make('audit', ({ publicListen }, number) => ({
    public_listen: publicListen,
    auth: authOf('audit'),
    state_dir: folder(`audit-${number}`),
    database: databaseOf('audit', postgres),
    recordings: { dir: folder('recordings') },
  }));
  const tunnel = await make('tunnel', ({ listen, publicListen }, number) => ({
    listen,
    public_listen: publicListen,
    auth: authOf('tunnel'),
    state_dir: folder(`tunnel-${number}`),
    spool: { dir: folder(`tunnel-${number}-spool`) },
  }));
  const publicOf = (made: readonly Replica[]) => made.map(({ publicListen }) => publicListen);
  const proxy = await make('proxy', ({ listen }, number) => ({
    listen,
    public_addr: publicAddress,
    auth: { ...authOf('proxy'), public_address: publicOf(auth) },
    audit: { public_address: publicOf(audit) },
    tunnel: {
      addresses: tunnel.map(({ listen: internal }) => internal),
      public_addresses: publicOf(tunnel),
    },
    state_dir: folder(`proxy-${number}`),
    spool: { dir: folder(`proxy-${number}-spool`) },
  }));
  const servicesOf = (made: readonly Replica[]) => made.map(({ service }) => service);
  return {
    auth: servicesOf(auth),
    audit: servicesOf(audit),
    tunnel: servicesOf(tunnel),
    proxy: servicesOf(proxy),
    proxies: proxy.map(({ listen }) => listen),
  };
}

type Config = Readonly<Record<string, unknown>>;

const freeAddress = async () => `127.0.0.1:${await findFreePort()}`;

/** What every start has in common: `deploy/dev/<service>.yaml`. */
function readBase(name: ServiceName): Config {
  const base = readYamlFile(join(root, `deploy/dev/${name}-service.yaml`));
  return z.record(z.string(), z.unknown()).parse(base);
}

/** The base's database, at this server. */
function databaseOf(kind: keyof typeof databases, { address }: Postgres): Config {
  const { database } = z
    .object({ database: z.looseObject({ url: z.string() }) })
    .parse(readBase(kind));
  return { ...database, url: database.url.replace('127.0.0.1', address) };
}

/** A file with 32 random bytes as text, made once. */
function keepSecret(dir: string, name: string): string {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, name);
  if (!existsSync(file))
    writeFileSync(file, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  return file;
}
