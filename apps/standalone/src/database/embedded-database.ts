/** Starts and stops the embedded database of a data directory. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { withDeadline } from '@gatehouse/kit/lifecycle';
import { z } from 'zod';

import { standaloneError } from '../errors.js';

export interface EmbeddedDatabase extends AsyncDisposable {
  /** `<directory>/.s.PGSQL.5432`. */
  readonly socketPath: string;
  /** Why it has ended without being told to; unsettled as long as it has not. */
  readonly lost: Promise<Error>;
}

/** A Unix socket's path has 107 bytes at most. */
const maxSocketPathBytes = 107;
const startTimeoutMs = 80_000;
const stopTimeoutMs = 6_000;
const manifest = z.object({ version: z.string() });

/** @throws DATABASE_ENGINE_CHANGED, DATABASE_UNUSABLE */
export async function startEmbeddedDatabase(
  dir: string,
  cacheDir: string,
): Promise<EmbeddedDatabase> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const version = checkEngine(dir);
  const socket = chooseSocket(dir);
  const worker = new Worker(new URL('./engine-worker.ts', import.meta.url), {
    workerData: {
      dataDir: join(dir, 'data'),
      socketPath: socket.path,
      templateFile: join(cacheDir, `pglite-${version}.tar`),
    },
  });
  try {
    await withDeadline(waitFor(worker, 'ready'), startTimeoutMs, () =>
      standaloneError('DATABASE_UNUSABLE', { details: { dir, why: 'it did not start in time' } }),
    );
  } catch (thrown) {
    await worker.terminate();
    throw standaloneError('DATABASE_UNUSABLE', {
      cause: thrown,
      details: { dir, why: thrown instanceof Error ? thrown.message : String(thrown) },
    });
  }
  let isStopping = false;
  const lost = new Promise<Error>((resolve) => {
    const report = (cause: Error) => {
      if (isStopping) return;
      const details = { dir, why: cause.message };
      resolve(standaloneError('DATABASE_LOST', { cause, details }));
    };
    worker.once('error', report);
    worker.once('exit', (code) => report(new Error(`it ended with code ${code}`)));
  });
  return {
    socketPath: socket.path,
    lost,
    async [Symbol.asyncDispose]() {
      isStopping = true;
      if (!hasEnded(worker)) await stop(worker);
      socket.remove();
    },
  };
}

/** A thread that is over has this id. */
function hasEnded(worker: Worker): boolean {
  return worker.threadId === -1;
}

async function stop(worker: Worker): Promise<void> {
  const stopped = waitFor(worker, 'stopped');
  worker.postMessage('stop');
  await withDeadline(
    stopped,
    stopTimeoutMs,
    () => new Error('the database did not stop in time'),
  ).catch(() => undefined);
  await worker.terminate();
}

/** A directory is used only by the engine that wrote it; another one would misread it. Gives this engine's version. */
function checkEngine(dir: string): string {
  const file = join(dir, 'engine.json');
  const require = createRequire(import.meta.url);
  const path = join(require.resolve('@electric-sql/pglite'), '../../package.json');
  const { version } = manifest.parse(JSON.parse(readFileSync(path, 'utf8')));
  const series = version.split('.').slice(0, 2).join('.');
  if (!existsSync(file)) {
    writeFileSync(file, `${JSON.stringify({ version })}\n`, { mode: 0o600 });
    return version;
  }
  const written = manifest.parse(JSON.parse(readFileSync(file, 'utf8'))).version;
  if (written.startsWith(`${series}.`)) return version;
  throw standaloneError('DATABASE_ENGINE_CHANGED', { details: { dir, written, version } });
}

function chooseSocket(dir: string): { path: string; remove: () => void } {
  const near = join(dir, '.s.PGSQL.5432');
  if (Buffer.byteLength(near) <= maxSocketPathBytes) {
    rmSync(near, { force: true });
    return { path: near, remove: () => rmSync(near, { force: true }) };
  }
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-'));
  return {
    path: join(folder, '.s.PGSQL.5432'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function waitFor(worker: Worker, type: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    worker.on('message', (message: unknown) => {
      const { type: got, message: why } = z
        .object({ type: z.string(), message: z.string().optional() })
        .parse(message);
      if (got === type) resolve();
      if (got === 'failed') reject(new Error(why));
    });
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the database ended with code ${code}`)));
  });
}
