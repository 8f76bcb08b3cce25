/** Clocks, CPU and memory of processes, and what to make of many measurements. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';

/** CPU seconds are counted in these, on every Linux that Node runs on. */
const ticksPerSecond = 100;

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs to the end with output thrown away; ms from before the start until after the exit. @throws where it fails */
export async function time(
  command: Command,
  io: { readonly stdinFile?: string; readonly timeoutMs?: number } = {},
): Promise<number> {
  const stdin = openSync(io.stdinFile ?? '/dev/null', 'r');
  const startedAt = performance.now();
  const child = spawn(command.file, [...command.args], {
    env: { ...process.env, ...command.env },
    stdio: [stdin, 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    if (errors.length < 10_000) errors += chunk.toString();
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), io.timeoutMs ?? 120_000);
  const [code] = (await once(child, 'exit')) as [number | null];
  const ms = performance.now() - startedAt;
  clearTimeout(timer);
  closeSync(stdin);
  if (code !== 0)
    throw new Error(`${command.file} ${command.args.join(' ')}: exit ${code}\n${errors}`);
  return ms;
}

/** The running processes below `pid`, and itself. */
export function processTree(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readStat(Number(name)) : undefined;
    if (stat !== undefined) parents.set(Number(name), Number(stat[1]));
  }
  const tree = [pid];
  for (const parent of tree)
    for (const [child, its] of parents) if (its === parent) tree.push(child);
  return tree;
}

/** CPU seconds (user and system) of a process, those below it, and those of its children that have ended. */
export function cpuSeconds(pid: number): number {
  let ticks = 0;
  for (const id of processTree(pid)) {
    const stat = readStat(id);
    // Fields 14–17 of proc_pid_stat(5): utime, stime, cutime, cstime.
    for (const field of stat?.slice(11, 15) ?? []) ticks += Number(field);
  }
  return ticks / ticksPerSecond;
}

/** Memory of a process and those below it, KiB; pages that several share are counted once, in parts. */
export function memoryKib(pid: number): number {
  let kib = 0;
  for (const id of processTree(pid)) {
    try {
      const rollup = readFileSync(`/proc/${id}/smaps_rollup`, 'utf8');
      kib += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
    } catch {
      // it has just ended
    }
  }
  return kib;
}

/** Fields of /proc/PID/stat after the name; [0] is the state, [1] the parent. */
function readStat(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** @param fraction 0.5 is the median */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * fraction;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** One minute's load, as `uptime` says it. */
export function loadAverage(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
}

export async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
