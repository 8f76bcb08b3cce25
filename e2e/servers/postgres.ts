/** Debian's PostgreSQL on a loopback port, with data that last. It refuses root: then it runs as the OS user `postgres`. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdirSync, openSync, readdirSync, closeSync } from 'node:fs';
import { join } from 'node:path';

import { createDatabase } from '@gatehouse/kit/postgres';
import { findFreePort } from '@gatehouse/kit/testing';
import { sql } from 'kysely';

import { eventually, run } from '../stack/run.js';

const versions = '/usr/lib/postgresql';

/** @throws naming the package where it is missing */
export async function install(): Promise<string> {
  const found = existsSync(versions) ? readdirSync(versions).toSorted().at(-1) : undefined;
  if (found === undefined) throw new Error('PostgreSQL is missing; run apt-get install postgresql');
  return Promise.resolve(join(versions, found, 'bin'));
}

export class Postgres implements AsyncDisposable {
  readonly #dir: string;
  #bin = '';
  #port = 0;
  #child: ChildProcess | undefined;

  /** @param dir the OS user `postgres` must be able to reach it */
  constructor(dir: string) {
    this.#dir = dir;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get logFile(): string {
    return join(this.#dir, 'log');
  }

  /** As its superuser. */
  get url(): string {
    return `postgres://postgres@${this.address}/postgres`;
  }

  /** What starts it again. */
  get command(): readonly string[] {
    const data = join(this.#dir, 'data');
    const settings = [
      `port=${this.#port}`,
      'listen_addresses=127.0.0.1',
      `unix_socket_directories=${this.#dir}`,
    ];
    const program = [
      join(this.#bin, 'postgres'),
      '-D',
      data,
      ...settings.flatMap((one) => ['-c', one]),
    ];
    return isRoot()
      ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', ...program]
      : program;
  }

  async start(): Promise<this> {
    this.#bin = await install();
    this.#port ||= await findFreePort();
    if (!existsSync(join(this.#dir, 'data'))) await this.#initialise();
    const log = openSync(this.logFile, 'a');
    const [program = '', ...args] = this.command;
    this.#child = spawn(program, args, { stdio: ['ignore', log, log] });
    closeSync(log);
    await eventually('PostgreSQL', async () => this.ask('select 1').then(() => true), 60_000);
    return this;
  }

  /** A statement as its superuser. */
  async ask(statement: string): Promise<void> {
    const database = createDatabase<Record<string, never>>({ url: this.url });
    try {
      await sql.raw(statement).execute(database);
    } finally {
      await database.destroy();
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #initialise(): Promise<void> {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    const program = [
      join(this.#bin, 'initdb'),
      '-D',
      join(this.#dir, 'data'),
      '-U',
      'postgres',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--no-sync',
    ];
    if (isRoot()) {
      const [uid, gid] = await Promise.all(
        ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, 'postgres'])).stdout)),
      );
      chownSync(this.#dir, uid ?? 0, gid ?? 0);
      program.unshift('setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups');
    }
    const [file = '', ...args] = program;
    const made = await run(file, args, { timeoutMs: 60_000, cwd: '/' });
    if (made.code !== 0) throw new Error(`initdb: ${made.stderr}`);
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
