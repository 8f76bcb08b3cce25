/** One service of a cluster as a process of its own: its configuration as a file, its log, its private port. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { stringify } from 'yaml';

import { root } from './installation.js';
import { eventually, GiveUp } from './run.js';

export type ServiceName = 'auth' | 'proxy' | 'tunnel' | 'audit';

type Config = Readonly<Record<string, unknown>>;

export interface ServiceOptions {
  readonly name: ServiceName;
  /** Of several of one kind: 1, 2, … */
  readonly number: number;
  /** Folder for configuration and log. */
  readonly dir: string;
  /** Run what was built in place of the sources. */
  readonly isBuilt: boolean;
  readonly config: Config & { readonly metrics_listen: string; readonly listen?: string };
}

const readyTimeoutMs = 120_000;
/** Longer than any drain time of deploy/dev, with what a process takes beyond it. */
const stopTimeoutMs = 25_000;

export class Service implements AsyncDisposable {
  readonly name: ServiceName;
  /** Of several of one kind: 1, 2, … */
  readonly number: number;
  readonly configFile: string;
  readonly logFile: string;
  readonly metricsUrl: string;
  /** Where it listens, `host:port`, if it does. */
  readonly listen: string;
  /** Beside this process's own, from the next start on. An OTLP endpoint in either loads tracing, as the images do. */
  environment: Readonly<Record<string, string>> = {};
  readonly #isBuilt: boolean;
  #config: Config;
  #child: ChildProcess | undefined;

  constructor({ name, number, dir, isBuilt, config }: ServiceOptions) {
    this.name = name;
    this.number = number;
    this.#isBuilt = isBuilt;
    this.configFile = join(dir, `${name}-${number}.yaml`);
    this.logFile = join(dir, `${name}-${number}.log`);
    this.metricsUrl = `http://${config.metrics_listen}`;
    this.listen = config.listen ?? '';
    this.#config = config;
    this.configure((same) => same);
  }

  /** Changes its configuration file, for the next start. */
  configure(change: (config: Config) => Config): void {
    this.#config = change(this.#config);
    writeFileSync(this.configFile, stringify(this.#config), { mode: 0o600 });
  }

  get isRunning(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  /** srv_… of its last start, by its own word. */
  get replica(): string {
    const line = this.log.split('\n').findLast((one) => one.includes('-service is listening'));
    return /"replica":"(srv_[0-9a-f]{32})"/.exec(line ?? '')?.[1] ?? '';
  }

  /** What starts it again, from anywhere. */
  get command(): readonly string[] {
    return [...this.program, '--config', this.configFile];
  }

  /** Without a configuration. */
  get program(): readonly string[] {
    const folder = join(root, `services/${this.name}-service`);
    if (this.#isBuilt)
      return [process.execPath, ...this.#tracing('dist/src'), join(folder, 'dist/src/main.js')];
    return [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--conditions=source',
      '--import',
      import.meta.resolve('tsx'),
      ...this.#tracing('src'),
      join(folder, 'src/main.ts'),
    ];
  }

  #tracing(folder: 'src' | 'dist/src'): string[] {
    if (!('OTEL_EXPORTER_OTLP_ENDPOINT' in { ...process.env, ...this.environment })) return [];
    const extension = folder === 'src' ? 'ts' : 'js';
    return ['--import', join(root, `packages/kit/${folder}/telemetry/start.${extension}`)];
  }

  /** Resolves when it says that it is ready. */
  async start(): Promise<this> {
    const log = openSync(this.logFile, 'a');
    const [program = '', ...args] = this.command;
    const child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, ...this.environment },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    await eventually(
      `${this.name} to be ready`,
      async () => {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new GiveUp(`${this.name} ended with ${child.exitCode}:\n${this.log.slice(-4000)}`);
        return (await this.readiness()).code === 200;
      },
      readyTimeoutMs,
    );
    return this;
  }

  async readiness(): Promise<{ code: number; status: string; degraded: readonly string[] }> {
    const answer = await fetch(`${this.metricsUrl}/readyz`, { signal: AbortSignal.timeout(2_000) });
    const body = (await answer.json()) as { status: string; degraded?: string[] };
    return { code: answer.status, status: body.status, degraded: body.degraded ?? [] };
  }

  /** The sum of a metric's series; NaN where there is none. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.metricsUrl}/metrics`)).text();
    const series = text.matchAll(new RegExp(`^${name}(?:{.*})? (\\S+)$`, 'gm'));
    const values = Array.from(series, ([, value]) => Number(value));
    return values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0);
  }

  /** @returns its exit code; null after a signal that it does not survive */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return child?.exitCode ?? null;
    const gone = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
    await gone;
    clearTimeout(timer);
    return child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
