/** One agent per data directory: two with one identity would look like a stolen certificate. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { systemErrorCode } from '@gatehouse/kit/errors';

import { agentError } from './errors.js';

/** Directories that agents of this process hold: the number in the file can't tell them apart. */
const held = new Set<string>();

/** @throws AGENT_DATA_DIR_IN_USE */
export function lockDataDir(dir: string): Disposable {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = resolve(dir, 'agent.lock');
  if (held.has(file)) throw inUse(dir, process.pid);
  for (let attempt = 0; ; attempt += 1) {
    try {
      writeFileSync(file, `${process.pid}\n`, { flag: 'wx', mode: 0o600 });
      held.add(file);
      return {
        [Symbol.dispose]: () => {
          held.delete(file);
          rmSync(file, { force: true });
        },
      };
    } catch (thrown) {
      if (systemErrorCode(thrown) !== 'EEXIST') throw thrown;
      const owner = readOwner(file);
      if (attempt > 0 || isRunning(owner)) throw inUse(dir, owner);
      rmSync(file, { force: true });
    }
  }
}

function inUse(dir: string, pid: number): Error {
  return agentError('AGENT_DATA_DIR_IN_USE', { details: { dir, pid: String(pid) } });
}

function readOwner(file: string): number {
  try {
    return Number.parseInt(readFileSync(file, 'utf8'), 10);
  } catch {
    return 0;
  }
}

function isRunning(pid: number): boolean {
  // A container's process often has the number that its predecessor had.
  if (!(pid > 0) || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return systemErrorCode(thrown) === 'EPERM';
  }
}
