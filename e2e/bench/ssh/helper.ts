/** How long `gate proxy ssh` takes until the server's first byte, and what of it is Node itself. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { root } from '../../stack/installation.js';
import { median, percentile, time, type Command } from '../measure.js';
import type { BenchOptions, Table } from '../report.js';
import type { Cluster } from './routes.js';
import { login } from './target.js';

export async function measureHelper(cluster: Cluster, options: BenchOptions): Promise<Table> {
  const env = { GATE_HOME: cluster.person.gateHome };
  const gate = join(root, 'bin/gate');
  const helper: Command = {
    file: gate,
    args: ['proxy', 'ssh', '--host', 'bench', '--port', '22', '--user', login],
    env,
  };
  const cases: readonly (readonly [string, () => Promise<number>])[] = [
    ['`gate proxy ssh` to the first byte of the server', () => firstByte(helper)],
    ['`gate --version`', () => time({ file: gate, args: ['--version'], env })],
    ['an empty Node program', () => time({ file: process.execPath, args: ['-e', '0'] })],
  ];
  const times = new Map<string, number[]>(cases.map(([name]) => [name, []]));
  for (let round = 0; round < options.rounds; round += 1)
    for (const [name, run] of cases) times.get(name)?.push(await run());
  return {
    title: 'start of the helper, ms',
    head: ['what', 'p50', 'p99'],
    rows: [...times].map(([name, ms]) => [
      name,
      median(ms).toFixed(0),
      percentile(ms, 0.99).toFixed(0),
    ]),
  };
}

/** Ms from start until anything comes out; the helper is then ended. */
async function firstByte(command: Command): Promise<number> {
  const startedAt = performance.now();
  const child = spawn(command.file, [...command.args], {
    env: { ...process.env, ...command.env },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const gone = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    gone.then(() => {
      throw new Error('gate proxy ssh ended without a byte');
    }),
  ]);
  const ms = performance.now() - startedAt;
  child.kill('SIGKILL');
  await gone;
  return ms;
}
