/**
 * The embedded database, in a worker thread so that a query never holds up the port: PGlite with fsync, behind a Unix
 * socket that the services reach as they would a PostgreSQL.
 */
import { existsSync, fsyncSync, mkdirSync, openAsBlob, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';

import { PGlite } from '@electric-sql/pglite';
import { NodeFS } from '@electric-sql/pglite/nodefs';
import { serveEmbedded } from '@gatehouse/kit/postgres';
import { z } from 'zod';

const { dataDir, socketPath, templateFile } = z
  .object({ dataDir: z.string(), socketPath: z.string(), templateFile: z.string() })
  .parse(workerData);

interface Module {
  FS: { filesystems: { NODEFS: NodeFsBackend } };
}
interface NodeFsBackend {
  stream_ops: { fsync?: (stream: { nfd: number }) => number };
}
type InitResult = Awaited<ReturnType<NodeFS['init']>>;

/** PGlite's file system never calls fsync as shipped; a test counts that this one does. */
class DurableNodeFs extends NodeFS {
  override async init(...given: Parameters<NodeFS['init']>): Promise<InitResult> {
    const result = await super.init(...given);
    result.emscriptenOpts.preRun ??= [];
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the hooks take the Emscripten module, whose type is not exported
    const hooks = result.emscriptenOpts.preRun as unknown as ((module: Module) => void)[];
    hooks.push((module) => {
      module.FS.filesystems.NODEFS.stream_ops.fsync = (stream) => {
        fsyncSync(stream.nfd);
        return 0;
      };
    });
    return result;
  }
}

const startParams = [
  ...PGlite.defaultStartParams.filter((param) => param !== '-F'),
  '-c',
  'wal_sync_method=fsync',
  '-c',
  'shared_buffers=16MB',
  '-c',
  'statement_timeout=30s',
];

/**
 * Opens the data directory. A new one is unpacked from a template where an earlier start has left one, which takes a
 * fifth of the time that making it anew does.
 */
async function openEngine(): Promise<PGlite> {
  const isNew = !existsSync(join(dataDir, 'PG_VERSION'));
  const options = { fs: new DurableNodeFs(dataDir), startParams };
  if (!isNew) return PGlite.create(options);
  if (existsSync(templateFile))
    return PGlite.create({ ...options, loadDataDir: await openAsBlob(templateFile) });
  const made = await PGlite.create(options);
  await keepTemplate(made).catch(() => undefined);
  return made;
}

async function keepTemplate(made: PGlite): Promise<void> {
  const template = await made.dumpDataDir('none');
  mkdirSync(dirname(templateFile), { recursive: true });
  const temporary = `${templateFile}.${process.pid}`;
  writeFileSync(temporary, Buffer.from(await template.arrayBuffer()));
  renameSync(temporary, templateFile);
}

const engine = await openEngine();
const server = await serveEmbedded({ engine, path: socketPath, maxConnections: 100 });
parentPort?.postMessage({ type: 'ready' });

parentPort?.once('message', () => {
  const stop = async () => {
    await server[Symbol.asyncDispose]();
    await engine.close();
    parentPort?.postMessage({ type: 'stopped' });
    parentPort?.close();
  };
  stop().catch((thrown: unknown) => {
    parentPort?.postMessage({ type: 'failed', message: String(thrown) });
  });
});
