/** Files that are written whole or not at all, and a home that is nobody else's. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
  type Stats,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { systemErrorCode } from '@gatehouse/kit/errors';

import { cliError } from '../errors.js';

/** Longest file of a profile that is read. */
const maxFileBytes = 1 << 20;

/** A file to be: disposing it unwritten leaves nothing behind. */
export interface ReservedFile extends Disposable {
  /** Puts the file in its place, whole, once. @throws FILE_UNWRITABLE */
  write(content: string | Uint8Array): void;
}

/** Makes sure, before what is to be kept exists, that it can be written there. @throws FILE_UNWRITABLE */
export function reserveFile(path: string, mode = 0o600): ReservedFile {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const remove = () => rmSync(temporary, { force: true });
  const attempt = <T>(step: () => T): T => {
    try {
      return step();
    } catch (thrown) {
      remove();
      const details = { path, why: reasonOf(thrown) };
      throw cliError('FILE_UNWRITABLE', { details, cause: thrown });
    }
  };
  const file = attempt(() => {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
      throw new Error('it is a directory');
    return openSync(temporary, 'wx', mode);
  });
  return {
    write: (content) =>
      attempt(() => {
        writeThrough(file, content);
        renameSync(temporary, path);
      }),
    [Symbol.dispose]() {
      closeSync(file);
      remove();
    },
  };
}

/** Writes a file (0600 unless told otherwise) under another name and renames it. @throws FILE_UNWRITABLE */
export function writeFileWhole(path: string, content: string | Uint8Array, mode = 0o600): void {
  using file = reserveFile(path, mode);
  file.write(content);
}

/** Writes what arrives in pieces under another name and renames it at the end. @throws FILE_UNWRITABLE */
export async function writePiecesWhole(path: string, pieces: AsyncIterable<string>): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, pieces, { flag: 'wx', mode: 0o600 });
    renameSync(temporary, path);
  } catch (thrown) {
    rmSync(temporary, { force: true });
    if (systemErrorCode(thrown) === undefined) throw thrown;
    throw cliError('FILE_UNWRITABLE', { details: { path, why: reasonOf(thrown) }, cause: thrown });
  }
}

/** Writes a file that must not be there yet, through to the disk. */
export function writeNewFile(path: string, content: string | Uint8Array, mode = 0o600): void {
  const file = openSync(path, 'wx', mode);
  try {
    writeThrough(file, content);
  } finally {
    closeSync(file);
  }
}

function writeThrough(file: number, content: string | Uint8Array): void {
  const bytes = Buffer.from(content);
  for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written);
  fsyncSync(file);
}

/** A file's text; undefined where there is none. @throws FILE_UNREADABLE */
export function readFileIfThere(path: string): string | undefined {
  try {
    if (statSync(path).size > maxFileBytes) throw new Error('it is too large');
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return undefined;
    throw cliError('FILE_UNREADABLE', { details: { path, why: reasonOf(thrown) }, cause: thrown });
  }
}

/** A file the person named. @throws FILE_UNREADABLE */
export function readNamedFile(path: string): string {
  const text = readFileIfThere(path);
  if (text !== undefined) return text;
  throw cliError('FILE_UNREADABLE', { details: { path, why: 'there is no such file' } });
}

/** A private key; refused where others could have read or changed it. @throws HOME_UNSAFE, FILE_UNREADABLE */
export function readPrivateFile(path: string): string | undefined {
  const text = readFileIfThere(path);
  if (text !== undefined) checkOwnership(path, statSync(path), `chmod 600 ${path}`);
  return text;
}

/**
 * Makes sure that the profile directory is the person's own (LIM-07): a real directory, not a link, owned by this
 * user, open to nobody else. Made where it is missing, if `create`.
 * @returns whether it is there
 * @throws HOME_UNSAFE, HOME_UNUSABLE
 */
export function checkHome(home: string, create: boolean): boolean {
  let stats = lstatIfThere(home);
  if (stats === undefined && create) {
    createHome(home);
    stats = lstatIfThere(home);
  }
  if (stats === undefined) return false;
  if (stats.isSymbolicLink()) {
    throw unsafe(home, 'is a symbolic link', 'set GATE_HOME to the directory itself');
  }
  if (!stats.isDirectory()) {
    throw cliError('HOME_UNUSABLE', { details: { path: home, why: 'it is not a directory' } });
  }
  checkOwnership(home, stats, `chmod 700 ${home}`);
  return true;
}

function checkOwnership(path: string, stats: Stats, fix: string): void {
  const user = process.getuid?.();
  if (user === undefined) return;
  if (stats.uid !== user)
    throw unsafe(path, 'belongs to another user', 'set GATE_HOME to a directory of your own');
  const mode = stats.mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw unsafe(path, `has mode 0${mode.toString(8)}; only its owner may use it`, fix);
  }
}

function unsafe(path: string, why: string, fix: string): Error {
  return cliError('HOME_UNSAFE', { details: { path, why, fix } });
}

function lstatIfThere(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return undefined;
    throw cliError('HOME_UNUSABLE', { details: { path, why: reasonOf(thrown) }, cause: thrown });
  }
}

function createHome(home: string): void {
  try {
    mkdirSync(dirname(home), { recursive: true });
    mkdirSync(home, { mode: 0o700 });
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'EEXIST') return;
    throw cliError('HOME_UNUSABLE', {
      details: { path: home, why: reasonOf(thrown) },
      cause: thrown,
    });
  }
}

const words: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  ENOENT: 'there is no such directory',
  ELOOP: 'too many links',
};

/** Why a file could not be used, in words. */
export function reasonOf(thrown: unknown): string {
  const code = systemErrorCode(thrown) ?? '';
  return words[code] ?? (thrown instanceof Error ? thrown.message : String(thrown));
}
