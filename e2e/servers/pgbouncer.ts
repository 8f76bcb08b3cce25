/** Debian's PgBouncer in session mode, with TLS on both sides, in front of a database of the tests. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { findFreePort } from '@gatehouse/kit/testing';

import { eventually, run } from '../stack/run.js';
import type { TargetDatabase } from './target-database.js';

const binary = '/usr/sbin/pgbouncer';

export interface PgBouncer extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
}

/** @throws naming the package where it is missing */
export async function startPgBouncer(database: TargetDatabase, user: string): Promise<PgBouncer> {
  if (!existsSync(binary)) throw new Error('PgBouncer is missing; run apt-get install pgbouncer');
  const data = join(database.dir, 'data');
  const dir = join(database.dir, 'pgbouncer');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const port = await findFreePort();
  const [host, upstream] = database.server.address.split(':');
  const settings = [
    '[databases]',
    `* = host=${host} port=${upstream}`,
    '[pgbouncer]',
    'pool_mode = session',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'auth_type = scram-sha-256',
    `auth_file = ${join(dir, 'users')}`,
    'max_client_conn = 500',
    'default_pool_size = 100',
    'client_tls_sslmode = require',
    `client_tls_key_file = ${join(data, 'server.key')}`,
    `client_tls_cert_file = ${join(data, 'server.crt')}`,
    'server_tls_sslmode = require',
    'unix_socket_dir =',
    `logfile = ${join(dir, 'log')}`,
    `pidfile = ${join(dir, 'pid')}`,
    'ignore_startup_parameters = extra_float_digits',
    '',
  ];
  writeFileSync(join(dir, 'pgbouncer.ini'), settings.join('\n'));
  writeFileSync(join(dir, 'users'), `"${user}" "${database.password}"\n`);
  const { uid, gid } = statSync(data);
  for (const name of ['', 'pgbouncer.ini', 'users']) chownSync(join(dir, name), uid, gid);
  const child = spawn(binary, [join(dir, 'pgbouncer.ini')], {
    stdio: 'ignore',
    ...(process.getuid?.() === 0 ? { uid, gid } : {}),
  });
  await eventually('PgBouncer', async () => isUp(child, port, { database, user }));
  return {
    pid: child.pid ?? 0,
    port,
    async [Symbol.asyncDispose]() {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}

async function isUp(
  child: ChildProcess,
  port: number,
  { database, user }: { readonly database: TargetDatabase; readonly user: string },
): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`PgBouncer ended with ${child.exitCode}`);
  const target = `host=127.0.0.1 port=${port} user=${user} dbname=bench sslmode=require`;
  const env = { PGPASSWORD: database.password };
  return (await run('psql', ['-Xc', 'select 1', '-d', target], { env })).code === 0;
}
