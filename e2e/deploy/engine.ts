/** A real Docker engine for the length of a test: unpacked by install.sh, on a socket of its own, its images kept. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { root } from '../stack/installation.js';
import { eventually, GiveUp, run, type RunOptions } from '../stack/run.js';

/** Where install.sh puts things. */
export const cache = join(root, '.cache/deploy');

const unpacked = join(cache, 'engine');
const path = [
  join(unpacked, 'wrapped'),
  join(unpacked, 'usr/bin'),
  join(unpacked, 'usr/sbin'),
  process.env['PATH'] ?? '',
].join(':');
const buildTimeoutMs = 1_800_000;

export class Engine implements AsyncDisposable {
  /** Socket, log and state; short, because a socket's path has 107 bytes. */
  readonly #dir = mkdtempSync(join(tmpdir(), 'gatehouse-engine-'));
  #daemon: ChildProcess | undefined;

  get #host(): string {
    return `unix://${this.#dir}/socket`;
  }

  async start(): Promise<this> {
    mkdirSync(join(cache, 'engine-data'), { recursive: true });
    const logFile = join(this.#dir, 'log');
    const log = openSync(logFile, 'w');
    const flags = {
      host: this.#host,
      'data-root': join(cache, 'engine-data'),
      'exec-root': join(this.#dir, 'exec'),
      pidfile: join(this.#dir, 'pid'),
      'storage-driver': 'overlay2',
      // The machine's own rules stay as they are, and processes below need not outlive it.
      iptables: 'false',
      'ip-masq': 'false',
      bridge: 'none',
      'oom-score-adjust': '0',
    };
    const daemon = spawn(
      join(unpacked, 'usr/sbin/dockerd'),
      Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
      { env: { ...process.env, PATH: path }, stdio: ['ignore', log, log] },
    );
    closeSync(log);
    daemon.on('error', () => undefined);
    this.#daemon = daemon;
    await eventually(
      'the Docker engine',
      async () => {
        if (daemon.exitCode !== null || daemon.pid === undefined)
          throw new GiveUp(`the engine ended:\n${readFileSync(logFile, 'utf8').slice(-3000)}`);
        return (await this.#run('docker', ['version'], {})).code === 0;
      },
      120_000,
    );
    return this;
  }

  /** Standard output of a `docker` command that must succeed; 30 minutes at most. */
  async docker(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.#must('docker', args, options);
  }

  /** The same of docker-compose 1.29 on the file at the top of the tree. */
  async compose(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const program = join(cache, 'compose/usr/bin/docker-compose');
    const env = {
      PYTHONPATH: join(cache, 'compose/usr/lib/python3/dist-packages'),
      COMPOSE_DOCKER_CLI_BUILD: '1',
      COMPOSE_PROJECT_NAME: 'gatehouse-test',
      ...options.env,
    };
    return this.#must('/usr/bin/python3', [program, ...args], { cwd: root, ...options, env });
  }

  async #must(program: string, args: readonly string[], options: RunOptions): Promise<string> {
    const ended = await this.#run(program, args, options);
    if (ended.code !== 0)
      throw new Error(`${program} ${args.join(' ')}: ${ended.code}\n${ended.stderr.slice(-6000)}`);
    return ended.stdout;
  }

  async #run(program: string, args: readonly string[], options: RunOptions) {
    const env = { PATH: path, DOCKER_HOST: this.#host, DOCKER_BUILDKIT: '1', ...options.env };
    return run(program, args, { timeoutMs: buildTimeoutMs, ...options, env });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const daemon = this.#daemon;
    if (daemon !== undefined && daemon.exitCode === null && daemon.signalCode === null) {
      const gone = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      const timer = setTimeout(() => daemon.kill('SIGKILL'), 60_000);
      await gone;
      clearTimeout(timer);
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
