/** The one directory where everything at home lives: locked while in use, secrets made once, all 0700/0600. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';

import { systemErrorCode } from '@gatehouse/kit/errors';
import { takeLock } from '@gatehouse/kit/lifecycle';

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
    const lock = takeLock(join(path, 'lock'), (pid) =>
      standaloneError('DATA_DIR_IN_USE', { details: { dir: path, pid } }),
    );
    return {
      path,
      folder(name) {
        mkdirSync(join(path, name), { recursive: true, mode: 0o700 });
        return join(path, name);
      },
      secretFile: (name) => ensureSecret(path, name),
      write: (name, content) => writeWhole(join(path, name), content),
      remove: (name) => rmSync(join(path, name), { force: true }),
      [Symbol.dispose]: () => lock[Symbol.dispose](),
    };
  } catch (thrown) {
    const code = systemErrorCode(thrown);
    if (code === undefined) throw thrown;
    const why =
      code === 'EACCES' || code === 'EROFS' || code === 'EPERM' ? 'it is not writable' : code;
    throw standaloneError('DATA_DIR_UNUSABLE', { cause: thrown, details: { dir: path, why } });
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
