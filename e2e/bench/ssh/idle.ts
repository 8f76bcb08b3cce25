/** Memory of the proxy for sessions that stand open and do nothing. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

import { sleep, type Command } from '../measure.js';
import type { BenchOptions } from '../report.js';
import { cpuOf, memoryOf, type Route } from './routes.js';
import type { IdleResult } from './tables.js';

/** How many log in at a time. */
const concurrency = 4;
/** Time for what a login leaves behind to be given back. */
const settleMs = 8_000;

export async function measureIdle(
  routes: readonly Route[],
  options: BenchOptions,
): Promise<IdleResult[]> {
  const results: IdleResult[] = [];
  for (const route of routes) {
    if (route.parts.length === 0) continue;
    const result = await holdSessions(route, options.idle);
    options.progress(`idle ${route.name}: ${JSON.stringify(result)}`);
    results.push(result);
  }
  return results;
}

async function holdSessions(route: Route, count: number): Promise<IdleResult> {
  const children: ChildProcess[] = [];
  const memoryBefore = memoryOf(route) ?? 0;
  const cpuBefore = cpuOfProxy(route);
  try {
    for (let at = 0; at < count; at += concurrency) {
      const batch = Array.from({ length: Math.min(concurrency, count - at) }, () =>
        open(route.command(['-T'], 'echo up; exec cat')),
      );
      children.push(...(await Promise.all(batch)));
    }
    const cpuAfter = cpuOfProxy(route);
    await sleep(settleMs);
    return {
      title: route.title,
      kibPerSession: ((memoryOf(route) ?? 0) - memoryBefore) / count,
      cpuMsPerLogin: ((cpuAfter - cpuBefore) * 1000) / count,
    };
  } finally {
    await Promise.all(children.map(close));
    await sleep(1_000);
  }
}

function cpuOfProxy(route: Route): number {
  return Object.values(cpuOf(route))[0] ?? 0;
}

async function open(command: Command): Promise<ChildProcess> {
  const child = spawn(command.file, [...command.args], {
    env: { ...process.env, ...command.env },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${command.file} ${command.args.join(' ')} ended too early`);
  });
  // Later its end is expected.
  ended.catch(() => undefined);
  await Promise.race([once(child.stdout, 'data'), ended]);
  return child;
}

async function close(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.stdin?.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await gone;
  clearTimeout(timer);
}
