/** A real PostgreSQL for tests, in a temporary folder and on a Unix socket and on loopback. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { createDatabase } from '../postgres/postgres.js';
import { findFreePort } from './find-free-port.js';

export interface TestPostgres extends AsyncDisposable {
  /** `postgres://…` as its superuser. */
  readonly url: string;
  readonly pid: number;
  /** `127.0.0.1:port`. */
  readonly address: string;
}

/**
 * Starts Debian's PostgreSQL without fsync, which lets everybody in; disposing it removes everything. As root it runs under the OS user
 * `postgres`, because it refuses root.
 * @throws where PostgreSQL is not installed (`apt-get install postgresql`)
 */
export async function startTestPostgres(): Promise<TestPostgres> {
  const bin = findBinaries();
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-pg-'));
  stack.defer(async () => rm(folder, { recursive: true, force: true }));
  const owner = process.getuid?.() === 0 ? findUser('postgres') : undefined;
  if (owner !== undefined) await chown(folder, owner.uid, owner.gid);
  await chmod(folder, 0o700);
  const data = join(folder, 'data');
  await promisify(execFile)(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync'],
    owner,
  );
  const port = await findFreePort();
  const settings = [
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    `unix_socket_directories=${folder}`,
    'fsync=off',
  ].flatMap((setting) => ['-c', setting]);
  const child = spawn(join(bin, 'postgres'), ['-D', data, ...settings], {
    ...owner,
    stdio: 'ignore',
  });
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGINT');
    await gone;
  });
  const url = `postgres://postgres@/postgres?host=${encodeURIComponent(folder)}&port=${port}`;
  await waitUntilReady(url);
  const owned = stack.move();
  return {
    url,
    pid: child.pid ?? 0,
    address: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
}

function findBinaries(): string {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).toSorted().toReversed() : [];
  const found = versions
    .map((version) => join(root, version, 'bin'))
    .find((bin) => existsSync(join(bin, 'initdb')));
  if (found === undefined)
    throw new Error('PostgreSQL is not installed; run apt-get install postgresql');
  return found;
}

function findUser(name: string): { uid: number; gid: number } {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`no OS user ${name}`);
  return { uid: Number(uid), gid: Number(gid) };
}

async function waitUntilReady(url: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const database = createDatabase<Record<string, never>>({ url });
    try {
      await database.connection().execute(async () => undefined);
      return;
    } catch (thrown) {
      if (performance.now() > deadline) throw thrown;
      await sleep(50);
    } finally {
      await database.destroy();
    }
  }
}
