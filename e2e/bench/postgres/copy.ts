/** COPY of a whole table, out and in: MiB/s and CPU. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { run } from '../../stack/run.js';
import { median, time } from '../measure.js';
import type { Table } from '../report.js';
import { cpuOfWay, type Way } from './ways.js';

export interface CopySample {
  readonly way: string;
  readonly direction: 'out' | 'in';
  readonly mibPerSecond: number;
  readonly cpuSecondsPerGib: number;
}

/** The table of pgbench's accounts in a file, and one to copy it into. */
export class CopyGround implements Disposable {
  readonly #dir = mkdtempSync(join(tmpdir(), 'bench-copy-'));
  readonly file = join(this.#dir, 'accounts');

  static async create(direct: Way): Promise<CopyGround> {
    const ground = new CopyGround();
    await psql(direct, 'create unlogged table copied (like pgbench_accounts)');
    await psql(direct, `\\copy pgbench_accounts to '${ground.file}'`);
    return ground;
  }

  /** Out to /dev/null, then in from the file. */
  async measure(way: Way): Promise<CopySample[]> {
    const mib = statSync(this.file).size / 2 ** 20;
    const out = await this.#time(way, 'copy pgbench_accounts to stdout');
    const into = await this.#time(way, `\\copy copied from '${this.file}'`);
    await psql(way, 'truncate copied');
    const toSample = (direction: 'out' | 'in', { ms, cpu }: { ms: number; cpu: number }) => ({
      way: way.name,
      direction,
      mibPerSecond: mib / (ms / 1000),
      cpuSecondsPerGib: (cpu * 1024) / mib,
    });
    return [toSample('out', out), toSample('in', into)];
  }

  async #time(way: Way, statement: string): Promise<{ ms: number; cpu: number }> {
    const before = cpuOfWay(way);
    const args = ['-Xq', '-d', way.target, '-c', statement];
    const ms = await time({ file: 'psql', args, env: way.env });
    return { ms, cpu: cpuOfWay(way) - before };
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

async function psql({ target, env }: Way, statement: string): Promise<void> {
  const args = ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', target, '-c', statement];
  const { code, stderr } = await run('psql', args, { env, timeoutMs: 120_000 });
  if (code !== 0) throw new Error(`${statement}: ${stderr}`);
}

export function tableOfCopies(ways: readonly Way[], samples: readonly CopySample[]): Table {
  const directions = ['out', 'in'] as const;
  const cell = (way: Way, direction: CopySample['direction']) => {
    const own = samples.filter((one) => one.way === way.name && one.direction === direction);
    const rate = median(own.map(({ mibPerSecond }) => mibPerSecond)).toFixed(0);
    const cpu = median(own.map(({ cpuSecondsPerGib }) => cpuSecondsPerGib)).toFixed(1);
    return way.pids().length === 0 ? rate : `${rate}, ${cpu} s/GiB`;
  };
  return {
    title: 'COPY, MiB/s and CPU of the way',
    head: ['', ...ways.map(({ name }) => name)],
    rows: directions.map((direction) => [direction, ...ways.map((way) => cell(way, direction))]),
  };
}
