/** A cluster at home for tests: `apps/standalone` as a process of its own, on a data directory of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Installation, root, type Ready } from './installation.js';
import { eventually, GiveUp } from './run.js';

export interface HomeOptions {
  readonly flags?: readonly string[];
  /** Reuses a directory of an earlier start. */
  readonly dir?: string;
  /** Loads tracing first, as `npm start` does where an endpoint is set. */
  readonly tracing?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Another copy of the tree to run. */
  readonly root?: string;
}

export class Home extends Installation {
  override readonly dir: string;
  readonly dataDir: string;
  readonly logFile: string;
  override readonly root: string;
  override ready!: Ready;
  #child: ChildProcess | undefined;
  readonly #flags: readonly string[];
  readonly #options: HomeOptions;

  constructor(options: HomeOptions) {
    super();
    this.dir = options.dir ?? mkdtempSync(join(tmpdir(), 'gatehouse-e2e-'));
    this.dataDir = join(this.dir, 'data');
    this.logFile = join(this.dir, 'cluster.log');
    this.#flags = options.flags ?? [];
    this.#options = options;
    this.root = options.root ?? root;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  override get log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  async start(extra: { port?: number } = {}): Promise<this> {
    const port =
      extra.port ?? (this.ready === undefined ? 0 : Number(this.ready.proxyAddr.split(':').at(-1)));
    const args = [
      '--disable-warning=ExperimentalWarning',
      '--conditions=source',
      '--import',
      'tsx',
      ...(this.#options.tracing === true
        ? ['--import', join(this.root, 'packages/kit/src/telemetry/start.ts')]
        : []),
      join(this.root, 'apps/standalone/src/main.ts'),
    ];
    const flags = [
      '--data-dir',
      this.dataDir,
      '--port',
      String(port),
      '--log-format',
      'json',
      '--log-level',
      'info',
      ...this.#flags,
    ];
    const child = spawn(process.execPath, [...args, ...flags], {
      cwd: this.root,
      env: { ...process.env, ...this.#options.env, GATE_HOME: this.folder('starter') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log = createWriteStream(this.logFile, { flags: 'a' });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    this.#child = child;
    const file = join(this.dataDir, 'ready.json');
    this.ready = await eventually(
      'ready.json',
      () => {
        if (child.exitCode !== null)
          throw new GiveUp(`the cluster ended with ${child.exitCode}:\n${this.log.slice(-4000)}`);
        if (!existsSync(file)) return undefined;
        const ready = JSON.parse(readFileSync(file, 'utf8')) as Ready;
        return ready.pid === child.pid ? ready : undefined;
      },
      90_000,
    );
    return this;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? null;
    const gone = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await gone;
    clearTimeout(timer);
    return child.exitCode;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (process.env['GATEHOUSE_KEEP'] === undefined)
      rmSync(this.dir, { recursive: true, force: true });
  }
}

export async function startHome(options: HomeOptions = {}): Promise<Home> {
  const home = new Home(options);
  try {
    return await home.start();
  } catch (thrown) {
    await home[Symbol.asyncDispose]();
    throw thrown;
  }
}
