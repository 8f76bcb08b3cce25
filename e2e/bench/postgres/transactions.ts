/** Transactions of `pgbench -S`: TPS, latency and CPU. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { run } from '../../stack/run.js';
import { median, percentile } from '../measure.js';
import type { Table } from '../report.js';
import { cpuOfWay, type Way } from './ways.js';

export const clientCounts = [1, 8, 32] as const;
export const modes = ['simple', 'extended', 'prepared'] as const;

export interface TransactionSample {
  readonly way: string;
  readonly mode: (typeof modes)[number];
  readonly clients: number;
  readonly tps: number;
  readonly p99Ms: number;
  readonly cpuMicroseconds: number;
}

export interface Load {
  readonly mode: TransactionSample['mode'];
  readonly clients: number;
  readonly runSeconds: number;
}

/** CPU is without that of logins: what as many clients take for one transaction each is taken off. @throws where pgbench fails */
export async function measureTransactions(way: Way, load: Load): Promise<TransactionSample> {
  const { mode, clients, runSeconds } = load;
  const dir = mkdtempSync(join(tmpdir(), 'bench-pgbench-'));
  try {
    const logins = await pgbench(way, load, ['-t', '1']);
    const flags = ['-T', String(runSeconds), '-l', '--log-prefix', join(dir, 'log')];
    const { stdout, cpu } = await pgbench(way, load, flags);
    const number = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
    const transactions = number(/actually processed: (\d+)/);
    return {
      way: way.name,
      mode,
      clients,
      tps: number(/tps = ([\d.]+) \(without/),
      p99Ms: percentile(readLatencies(dir), 0.99) / 1000,
      cpuMicroseconds: ((cpu - logins.cpu) * 1e6) / transactions,
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function pgbench(
  way: Way,
  { mode, clients }: Load,
  flags: readonly string[],
): Promise<{ stdout: string; cpu: number }> {
  const before = cpuOfWay(way);
  const args = `-n -S -M ${mode} -c ${clients} -j ${Math.min(2, clients)}`.split(' ');
  const { code, stdout, stderr } = await run('pgbench', [...args, ...flags, way.target], {
    env: way.env,
    timeoutMs: 60_000,
  });
  if (code !== 0) throw new Error(`${way.name}: ${stderr}`);
  return { stdout, cpu: cpuOfWay(way) - before };
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

export function tableOfTransactions(
  ways: readonly Way[],
  samples: readonly TransactionSample[],
  mode: TransactionSample['mode'],
): Table {
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
