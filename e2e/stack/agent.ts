/** `bin/gate-agent` as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { stringify } from 'yaml';

import type { Installation } from './installation.js';
import type { Person } from './person.js';
import { eventually, GiveUp } from './run.js';

export interface AgentTargetSpec {
  readonly kind: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec: Readonly<Record<string, unknown>>;
}

export class AgentProcess implements AsyncDisposable {
  readonly name: string;
  readonly home: Installation;
  readonly dir: string;
  #child: ChildProcess | undefined;

  constructor(home: Installation, name: string) {
    this.home = home;
    this.name = name;
    this.dir = home.folder(`agents/${name}`);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get log(): string {
    const file = join(this.dir, 'log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  get exitCode(): number | null {
    return this.#child?.exitCode ?? null;
  }

  configure(
    targets: readonly AgentTargetSpec[],
    extra: Readonly<Record<string, unknown>> = {},
  ): void {
    writeFileSync(join(this.dir, 'agent.yaml'), stringify({ name: this.name, targets, ...extra }));
  }

  /** Starts; `proxy` may point at a relay in between. */
  start(
    options: {
      token?: string;
      proxy?: string;
      pin?: string;
      env?: Readonly<Record<string, string>>;
    } = {},
  ): void {
    const { proxyAddr, caPin } = this.home.ready;
    const token = options.token === undefined ? [] : ['--token', options.token];
    const child = spawn(
      join(this.home.root, 'bin/gate-agent'),
      [
        '--proxy',
        options.proxy ?? proxyAddr,
        '--ca-pin',
        options.pin ?? caPin,
        '--data-dir',
        join(this.dir, 'data'),
        '--config',
        join(this.dir, 'agent.yaml'),
        ...token,
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        cwd: this.home.root,
        env: { ...process.env, ...options.env },
      },
    );
    const log = createWriteStream(join(this.dir, 'log'), { flags: 'a' });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    this.#child = child;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? null;
    const gone = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(timer);
    return child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A new agent with a token of its own, online before this returns. */
export async function joinAgent(
  admin: Person,
  name: string,
  targets: readonly AgentTargetSpec[],
): Promise<AgentProcess> {
  const agent = new AgentProcess(admin.home, name);
  agent.configure(targets);
  const { token } = await admin.json<{ token: string }>(['tokens', 'add', '--type', 'agent']);
  agent.start({ token });
  await waitForAgent(
    admin,
    agent,
    targets.map((target) => target.name),
  );
  return agent;
}

/** Waits until the agent serves these targets. */
export async function waitForAgent(
  admin: Person,
  agent: AgentProcess,
  names: readonly string[],
  timeoutMs = 20_000,
): Promise<void> {
  await eventually(
    `agent ${agent.name}`,
    async () => {
      if (agent.exitCode !== null) throw new GiveUp(`agent ended:\n${agent.log.slice(-2000)}`);
      const listed = await admin.json<{ name: string; status: string }[]>(['ls']);
      return names.every((name) =>
        listed.some((target) => target.name === name && target.status === 'online'),
      );
    },
    timeoutMs,
  );
}
