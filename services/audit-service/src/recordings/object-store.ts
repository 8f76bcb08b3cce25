/** Where the content of recordings lies: a directory, one file per chunk. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { systemErrorCode } from '@gatehouse/kit/errors';

export interface ObjectStore {
  /** Writes an object, whole or not at all; resolves when it is on the disk. Repeating it is harmless. */
  put(key: string, content: Uint8Array): Promise<void>;
  /** Undefined where there is none. */
  get(key: string): Promise<Buffer | undefined>;
  /** Removes all objects of a recording; where there are none, nothing. */
  removeRecording(sessionId: string, recordingId: string): Promise<void>;
}

const idPattern = /^(?:ses|rec)_[0-9a-f]{32}$/;

/** Key of a chunk. Made of checked ids and numbers only, whatever names people and targets have. */
export function chunkKey(sessionId: string, recordingId: string, index: number): string {
  return `${recordingFolder(sessionId, recordingId)}/${String(index).padStart(8, '0')}.gz`;
}

export function manifestKey(sessionId: string, recordingId: string): string {
  return `${recordingFolder(sessionId, recordingId)}/manifest.json`;
}

function recordingFolder(sessionId: string, recordingId: string): string {
  if (!idPattern.test(sessionId) || !idPattern.test(recordingId)) throw new RangeError('not an id');
  return `${sessionId}/${recordingId}`;
}

/** A store in a directory, made 0700 where it is missing. */
export function createDirectoryStore(root: string): ObjectStore {
  return {
    put: async (key, content) => {
      const path = join(root, checkKey(key));
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const temporary = `${path}.${randomBytes(6).toString('hex')}.new`;
      try {
        await writeAndSync(temporary, content);
        await rename(temporary, path);
      } catch (thrown) {
        await rm(temporary, { force: true });
        throw thrown;
      }
      await syncDirectory(dirname(path));
    },
    get: async (key) => {
      try {
        return await readFile(join(root, checkKey(key)));
      } catch (thrown) {
        if (systemErrorCode(thrown) === 'ENOENT') return undefined;
        throw thrown;
      }
    },
    removeRecording: async (sessionId, recordingId) => {
      const folder = join(root, recordingFolder(sessionId, recordingId));
      await rm(folder, { recursive: true, force: true });
      // Other recordings of the session may be there still.
      await rmdir(dirname(folder)).catch((thrown: unknown) => {
        if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(systemErrorCode(thrown) ?? ''))
          throw thrown;
      });
    },
  };
}

/** A second wall behind the keys' makers: no key leads out of the root. */
function checkKey(key: string): string {
  if (!/^(?:[a-z0-9_]+\/)+[a-z0-9_]+\.[a-z]+$/.test(key)) throw new RangeError('not an object key');
  return key;
}

async function writeAndSync(path: string, content: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
