/**
 * One owner of a directory: a lock file with who it is. A process is told from a later one with the same id by its start
 * time and the machine's boot; the lock of one that is gone is taken over.
 */
import { mkdirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { systemErrorCode } from '../errors/errors.js';
import { spoolError } from './errors.js';

/** A takeover that was itself interrupted counts as over after this time. */
const takeoverMs = 10_000;

interface Owner {
  readonly pid: number;
  /** Start of the process in clock ticks since boot; empty where /proc does not say. */
  readonly started: string;
  readonly boot: string;
}

/** Takes the lock. Disposing gives it back. @throws SPOOL_IN_USE */
export function takeLock(dir: string): Disposable {
  const path = join(dir, 'lock');
  const text = JSON.stringify(describeProcess(process.pid));
  if (!create(path, text)) takeOver(dir, path, text);
  return {
    [Symbol.dispose]: () => {
      if (readText(path) === text) rmSync(path, { force: true });
    },
  };
}

function takeOver(dir: string, path: string, text: string): void {
  const guard = join(dir, 'lock.takeover');
  refuseIfAlive(dir, path);
  if (!makeGuard(guard)) throw spoolError('SPOOL_IN_USE', { details: { dir, pid: 'unknown' } });
  try {
    refuseIfAlive(dir, path);
    rmSync(path, { force: true });
    if (!create(path, text)) throw spoolError('SPOOL_IN_USE', { details: { dir, pid: 'unknown' } });
  } finally {
    rmSync(guard, { recursive: true, force: true });
  }
}

function makeGuard(guard: string): boolean {
  const isStale =
    (statSync(guard, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) < Date.now() - takeoverMs;
  if (isStale) rmSync(guard, { recursive: true, force: true });
  try {
    mkdirSync(guard);
    return true;
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'EEXIST') return false;
    throw thrown;
  }
}

/** True where the file was made; false where there is one. A file is never seen half written by one who takes over. */
function create(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600, flush: true });
    return true;
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'EEXIST') return false;
    if (systemErrorCode(thrown) === 'ENOSPC') unlinkSync(path);
    throw thrown;
  }
}

function refuseIfAlive(dir: string, path: string): void {
  const owner = parseOwner(readText(path));
  if (owner === undefined) return;
  const now = describeProcess(owner.pid);
  const isSame =
    now.started !== undefined && now.started === owner.started && now.boot === owner.boot;
  if (isSame) throw spoolError('SPOOL_IN_USE', { details: { dir, pid: String(owner.pid) } });
}

function describeProcess(pid: number): Partial<Owner> & { pid: number } {
  const stat = readText(`/proc/${pid}/stat`);
  const boot = readText('/proc/sys/kernel/random/boot_id')?.trim() ?? '';
  if (stat !== undefined) return { pid, started: startTime(stat), boot };
  return isAlive(pid) ? { pid, started: '', boot } : { pid };
}

/** Field 22 of /proc/<pid>/stat (proc(5)); the name in field 2 may hold anything. */
function startTime(stat: string): string {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return systemErrorCode(thrown) === 'EPERM';
  }
}

const ownerSchema = z.object({
  pid: z.int().min(1),
  started: z.string().default(''),
  boot: z.string().default(''),
});

function parseOwner(text: string | undefined): Owner | undefined {
  try {
    return ownerSchema.safeParse(JSON.parse(text ?? '')).data;
  } catch {
    return undefined;
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
