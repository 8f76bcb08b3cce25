/** The one directory where everything at home lives: locked while in use, secrets made once, all 0700/0600. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join, resolve } from 'node:path';

import { systemErrorCode } from '@gatehouse/kit/errors';

import { standaloneError } from './errors.js';

export interface DataDirectory extends Disposable {
  readonly path: string;
  /** A folder inside, made if missing. */
  folder(name: string): string;
  /** A file with 32 random bytes (base64), made once. */
  secretFile(name: string): string;
  /** Writes a file whole or not at all, 0600. */
  write(name: string, content: string): void;
  remove(name: string): void;
}

/** @throws DATA_DIR_IN_USE, DATA_DIR_UNUSABLE */
export function openDataDirectory(dir: string): DataDirectory {
  const path = resolve(dir);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const release = lock(path);
    return {
      path,
      folder(name) {
        mkdirSync(join(path, name), { recursive: true, mode: 0o700 });
        return join(path, name);
      },
      secretFile: (name) => ensureSecret(path, name),
      write: (name, content) => writeWhole(join(path, name), content),
      remove: (name) => rmSync(join(path, name), { force: true }),
      [Symbol.dispose]: release,
    };
  } catch (thrown) {
    const code = systemErrorCode(thrown);
    if (code === undefined) throw thrown;
    const why =
      code === 'EACCES' || code === 'EROFS' || code === 'EPERM' ? 'it is not writable' : code;
    throw standaloneError('DATA_DIR_UNUSABLE', { cause: thrown, details: { dir: path, why } });
  }
}

function lock(path: string): () => void {
  const file = join(path, 'lock');
  for (let attempt = 0; ; attempt += 1) {
    try {
      const handle = openSync(file, 'wx', 0o600);
      writeSync(handle, `${process.pid} ${startOf(process.pid) ?? ''}\n`);
      closeSync(handle);
      return () => rmSync(file, { force: true });
    } catch (thrown) {
      if (systemErrorCode(thrown) !== 'EEXIST') throw thrown;
      const [pid = '', started = ''] = readFileSync(file, 'utf8').trim().split(' ');
      if (attempt > 3 || (pid !== '' && startOf(Number(pid)) === started)) {
        throw standaloneError('DATA_DIR_IN_USE', { details: { dir: path, pid } });
      }
      rmSync(file, { force: true });
    }
  }
}

/** When a process began, in the kernel's ticks: a process id alone may belong to somebody else by now. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return isAlive(pid) ? 'alive' : undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function ensureSecret(path: string, name: string): string {
  mkdirSync(join(path, 'secrets'), { recursive: true, mode: 0o700 });
  const file = join(path, 'secrets', name);
  if (!existsSync(file)) writeWhole(file, `${randomBytes(32).toString('base64')}\n`);
  return file;
}

function writeWhole(file: string, content: string): void {
  const handle = openSync(`${file}.new`, 'w', 0o600);
  try {
    writeFileSync(handle, content);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(`${file}.new`, file);
}
