/**
 * The audit in one run, on one Kafka and one PostgreSQL:
 *   producer  events through the spool onto the topic
 *   core      a backlog of five minutes from the topic into the store by audit-service, beside a bare consume + COPY loop
 *   strict    what waiting for the acknowledgement adds to `ssh … true`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { systemClock } from '@gatehouse/kit/clock';
import { openEventLog, topics } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { openSpool } from '@gatehouse/kit/spool';

import type { Cluster } from '../stack/cluster.js';
import { eventually } from '../stack/run.js';
import type { Service } from '../stack/service.js';
import { createClusterWorld, type World } from '../stack/world.js';
import { runBare } from './audit/bare.js';
import { cpuSeconds, loadAverage, percentile } from './measure.js';
import {
  describeMachine,
  type Bench,
  type BenchOptions,
  type Report,
  type Table,
} from './report.js';

/** Twenty commands a second for five minutes, four events each. */
const outageSeconds = 300;
const eventsPerSecond = 80;
const eventsPerSession = 16;
const count = outageSeconds * eventsPerSecond;

export const auditBench: Bench = {
  name: 'audit',
  summary: 'producer, core beside a bare consume + COPY loop, strict',
  run: runAudit,
};

interface Throughput {
  readonly name: string;
  readonly ms: number;
  readonly cpuMs: number;
}

async function runAudit(options: BenchOptions): Promise<Report> {
  const startedAt = new Date().toISOString();
  const loadBefore = loadAverage();
  const role = {
    kind: 'role',
    version: 'v1',
    metadata: { name: 'strict' },
    spec: {
      options: { audit: 'strict' },
      allow: { logins: ['deploy'], node_labels: { env: 'staging' } },
    },
  };
  await using world = await createClusterWorld({
    only: 'staging',
    replicas: { auth: 1, proxy: 1, tunnel: 1, audit: 1 },
    roles: [role],
    people: { alice: ['dev'], sam: ['strict'] },
  });
  const strict = await measureStrict(world, options);
  const throughputs = await measureThroughput(world, options);
  const core = throughputs.find(({ name }) => name === 'audit-service');
  const bare = throughputs.find(({ name }) => name.startsWith('bare'));
  const ratio = (bare?.ms ?? Number.NaN) / (core?.ms ?? Number.NaN);
  const realTime = (outageSeconds * 1000) / (core?.ms ?? Number.NaN);
  return {
    bench: 'audit',
    startedAt,
    endedAt: new Date().toISOString(),
    machine: describeMachine(),
    options: { rounds: options.rounds, events: count },
    tables: [throughputTable(throughputs), strictTable(strict)],
    notes: [
      `audit-service stores ${ratio.toFixed(2)} times what the bare loop stores in the same time.`,
      `The backlog is that of ${outageSeconds} s at ${eventsPerSecond} events/s; it drains at ${realTime.toFixed(0)} times real time.`,
      `Load average ${loadBefore} before, ${loadAverage()} after.`,
    ],
    samples: { throughputs, strict },
  };
}

async function measureThroughput(
  world: World<Cluster>,
  options: BenchOptions,
): Promise<Throughput[]> {
  const { kafka, postgres } = world.home;
  const [audit] = world.home.of('audit');
  if (audit === undefined) throw new Error('no audit-service');
  await audit.stop();
  options.progress(`producer: ${count} events`);
  const producer = await measureProducer(kafka.address);
  options.progress('audit-service');
  await audit.start();
  const core = await measureCore(audit);
  options.progress('bare loop');
  const databaseUrl = `postgres://postgres@${postgres.address}/gatehouse_audit`;
  const before = process.cpuUsage();
  const ms = await runBare({ broker: kafka.address, topic: topics.audit, databaseUrl, count });
  const bare = { name: 'bare kafkajs consume + COPY', ms, cpuMs: cpuMs(before) };
  return [producer, core, bare];
}

async function measureProducer(broker: string): Promise<Throughput> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-spool-'));
  const logger = createLogger({ name: 'bench', level: 'silent' });
  const eventLog = openEventLog(
    { type: 'kafka', brokers: [broker] },
    { clock: systemClock, logger, clientId: 'bench' },
  );
  if (eventLog === undefined) throw new Error('no event log');
  try {
    const replicaId = createId('srv');
    const shared = { clock: systemClock, logger, cluster: 'dev', replicaId };
    await using spool = await openSpool({ ...shared, dir, eventLog });
    const before = process.cpuUsage();
    const from = performance.now();
    for (let at = 0; at < count; at += eventsPerSession) {
      writeSession(spool, at);
      // As in a proxy, where other work comes between.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await spool.flushed();
    return {
      name: 'producer: spool + Kafka driver',
      ms: performance.now() - from,
      cpuMs: cpuMs(before),
    };
  } finally {
    await eventLog[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  }
}

function writeSession(spool: Awaited<ReturnType<typeof openSpool>>, number: number): void {
  const journal = spool.session({
    sessionId: createId('ses'),
    actor: {
      kind: 'user',
      name: `user-${number % 50}`,
      roles: ['dev'],
      loginId: createId('lgn'),
      address: '192.0.2.1:4000',
    },
    target: { kind: 'node', name: `web-${number % 30}`, labels: { env: 'staging' } },
    protocol: 'ssh',
  });
  const data = { command: `uptime && ls -la /var/log/${number}`, channel: 0 };
  for (let written = 1; written < eventsPerSession; written += 1)
    journal.append({ type: 'ssh.command_ended', outcome: 'success', data });
  journal.end('client_left');
}

/** From the first event that it stores to the last. */
async function measureCore(audit: Service): Promise<Throughput> {
  const stored = async () => {
    const text = await (await fetch(`${audit.metricsUrl}/metrics`)).text();
    return Number(/^gatehouse_audit_events_stored(?:{.*})? (\d+)/m.exec(text)?.[1] ?? 0);
  };
  const first = await eventually(
    'the first events',
    async () => (await stored()) || undefined,
    60_000,
  );
  const cpuBefore = cpuSeconds(audit.pid);
  const from = performance.now();
  await eventually('all events', async () => (await stored()) >= count, 600_000);
  const share = count / (count - first);
  return {
    name: 'audit-service',
    ms: (performance.now() - from) * share,
    cpuMs: (cpuSeconds(audit.pid) - cpuBefore) * 1000 * share,
  };
}

async function measureStrict(
  world: World<Cluster>,
  options: BenchOptions,
): Promise<Record<string, number[]>> {
  const times: Record<string, number[]> = { alice: [], sam: [] };
  for (let round = -1; round < options.rounds; round += 1) {
    options.progress(`strict: round ${round + 1} of ${options.rounds}`);
    for (const [name, list] of Object.entries(times)) {
      const { code, ms } = await world.person(name).ssh(['deploy@web-1', 'true']);
      if (code !== 0) throw new Error(`ssh as ${name}: ${code}`);
      if (round >= 0) list.push(ms);
    }
  }
  return times;
}

function cpuMs(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function throughputTable(rows: readonly Throughput[]): Table {
  return {
    title: `Events (${count}, about 600 bytes each)`,
    head: ['row', 'events/s', 'CPU µs/event'],
    rows: rows.map(({ name, ms, cpuMs: cpu }) => [
      name,
      ((count / ms) * 1000).toFixed(0),
      ((cpu * 1000) / count).toFixed(0),
    ]),
  };
}

function strictTable({ alice = [], sam = [] }: Record<string, number[]>): Table {
  const row = (name: string, fraction: number) => [
    name,
    ...[percentile(alice, fraction), percentile(sam, fraction)].map((ms) => ms.toFixed(0)),
    (percentile(sam, fraction) - percentile(alice, fraction)).toFixed(0),
  ];
  return {
    title: 'ssh host true, ms',
    head: ['', 'best_effort', 'strict', 'added'],
    rows: [row('p50', 0.5), row('p99', 0.99)],
  };
}
