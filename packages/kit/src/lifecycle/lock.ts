/**
 * One owner of a directory: a lock file with who it is. A process is told from a later one with the same id by its start
 * time and the machine's boot; the lock of one that is gone is taken over. The file appears whole, by a hard link, and is
 * replaced by a rename, only by whoever holds a second lock of the same kind beside it: so it has one owner at any time,
 * however many processes start at once and wherever one of them is killed.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

import { z } from 'zod';

import { systemErrorCode } from '../errors/errors.js';

interface Owner {
  readonly pid: number;
  /** Start of the process in clock ticks since boot; empty where /proc does not say. */
  readonly started: string;
  readonly boot: string;
}

/**
 * Takes the lock that is the file `path`. Disposing gives it back.
 * @throws what `inUse` makes of the id of the process that has it, and the system's error where `path` can't be written
 */
export function takeLock(path: string, inUse: (pid: string) => Error): Disposable {
  const text = JSON.stringify(describeProcess(process.pid));
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    writeFileSync(temporary, text, { flag: 'wx', mode: 0o600, flush: true });
    if (!create(temporary, path)) takeOver(temporary, path, inUse);
  } finally {
    rmSync(temporary, { force: true });
  }
  return {
    [Symbol.dispose]: () => {
      if (readText(path) === text) rmSync(path, { force: true });
    },
  };
}

function takeOver(temporary: string, path: string, inUse: (pid: string) => Error): void {
  // Without the second lock, so that who is refused hears of the owner and not of another who is refused.
  isAbandoned(path, inUse);
  using _guard = takeLock(`${path}.next`, inUse);
  while (!create(temporary, path)) {
    if (!isAbandoned(path, inUse)) continue;
    renameSync(temporary, path);
    return;
  }
}

/** True where the lock was free. */
function create(temporary: string, path: string): boolean {
  try {
    linkSync(temporary, path);
    return true;
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'EEXIST') return false;
    throw thrown;
  }
}

/** True where its owner is gone, or it does not say one; false where it was given back. @throws what `inUse` makes */
function isAbandoned(path: string, inUse: (pid: string) => Error): boolean {
  const text = readIfThere(path);
  const owner = parseOwner(text);
  if (owner === undefined) return text !== undefined;
  const now = describeProcess(owner.pid);
  const isSame =
    now.started !== undefined && now.started === owner.started && now.boot === owner.boot;
  if (isSame) throw inUse(String(owner.pid));
  return true;
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

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}
