/** The ways to one sshd that are compared. Each has a name for --rows and --skip. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { formatSshPublicKey } from '@gatehouse/identity';
import type { RunningSshd } from '@gatehouse/protocol-ssh/testing';

import { joinAgent, type AgentProcess } from '../../stack/agent.js';
import { startHome, type Home } from '../../stack/home.js';
import { createAdmin, type Person } from '../../stack/person.js';
import { exportCa } from '../../stack/world.js';
import { cpuSeconds, memoryKib, type Command } from '../measure.js';
import { login, quiet, type Ground } from './target.js';

/** A part between client and target whose cost is counted. */
export interface Part {
  readonly name: string;
  readonly pid: number;
}

export interface Route {
  readonly name: string;
  readonly title: string;
  readonly parts: readonly Part[];
  /** True where PTY output is recorded. */
  readonly isRecording: boolean;
  command(flags: readonly string[], remote: string): Command;
}

export function cpuOf(route: Route): Record<string, number> {
  return Object.fromEntries(route.parts.map(({ name, pid }) => [name, cpuSeconds(pid)]));
}

/** Of the first part, which is the proxy. */
export function memoryOf(route: Route): number | undefined {
  const [proxy] = route.parts;
  return proxy === undefined ? undefined : memoryKib(proxy.pid);
}

function sshRoute(
  ground: Ground,
  route: Omit<Route, 'command'> & {
    host: string;
    lines: readonly string[];
    env?: Record<string, string>;
  },
): Route {
  const { host, lines, env, ...rest } = route;
  const config = join(ground.dir, `config-${route.name}`);
  writeFileSync(config, `${lines.join('\n')}\n`);
  return {
    ...rest,
    command: (flags, remote) => ({
      file: 'ssh',
      args: ['-F', config, ...flags, host, remote],
      ...(env === undefined ? {} : { env }),
    }),
  };
}

export function directRoute(ground: Ground, target: RunningSshd): Route {
  return sshRoute(ground, {
    name: 'direct',
    title: 'direct OpenSSH',
    parts: [],
    isRecording: false,
    host: 'target',
    lines: [...quiet, ...ground.directIdentity, ...hostBlock('target', target.port)],
  });
}

export function jumpRoute(ground: Ground, target: RunningSshd, jump: RunningSshd): Route {
  return sshRoute(ground, {
    name: 'jump',
    title: 'OpenSSH ProxyJump',
    parts: [{ name: 'jump sshd', pid: jump.pid }],
    isRecording: false,
    host: 'target',
    lines: [
      ...quiet,
      ...ground.directIdentity,
      ...hostBlock('jump', jump.port),
      ...hostBlock('target', target.port),
      '  ProxyJump jump',
    ],
  });
}

/** A TCP relay in Node that opens nothing: what any relay in Node costs at least, and a measure of the machine's mood. */
export async function startPipe(): Promise<{
  readonly child: ChildProcess;
  readonly port: number;
}> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'pipe-process.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, port: Number(line) };
}

export function pipeRoute(
  ground: Ground,
  pipe: { readonly child: ChildProcess; readonly port: number },
  target: RunningSshd,
): Route {
  pipe.child.stdin?.write(`${target.port}\n`);
  return sshRoute(ground, {
    name: 'pipe',
    title: 'a TCP pipe in Node',
    parts: [{ name: 'pipe', pid: pipe.child.pid ?? 0 }],
    isRecording: false,
    host: 'target',
    lines: [
      ...quiet,
      ...ground.directIdentity,
      ...hostBlock('target', pipe.port),
      `  HostKeyAlias [127.0.0.1]:${target.port}`,
    ],
  });
}

function hostBlock(name: string, port: number, user = login): string[] {
  return [`Host ${name}`, '  HostName 127.0.0.1', `  Port ${port}`, `  User ${user}`];
}

/** Starts `relay-process.ts`, optionally with recordings. */
export async function startRelay(
  ground: Ground,
  options: { readonly isRecording: boolean; readonly profileDir?: string | undefined },
): Promise<RelayProcess> {
  const name = options.isRecording ? 'relay-recording' : 'relay';
  const dir = join(ground.dir, name);
  mkdirSync(dir);
  const profile =
    options.profileDir === undefined
      ? []
      : [
          '--cpu-prof',
          '--cpu-prof-dir',
          options.profileDir,
          '--cpu-prof-name',
          `${name}.cpuprofile`,
        ];
  const child = spawn(
    process.execPath,
    [
      ...profile,
      '--conditions=source',
      '--import',
      'tsx',
      join(import.meta.dirname, 'relay-process.ts'),
      dir,
      String(options.isRecording),
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line')) as [string];
  return {
    name,
    dir,
    child,
    isRecording: options.isRecording,
    ...(JSON.parse(line) as RelayReady),
  };
}

interface RelayReady {
  readonly port: number;
  readonly targetAuthority: string;
  readonly key: string;
  readonly knownHosts: string;
}

export interface RelayProcess extends RelayReady {
  readonly name: string;
  readonly dir: string;
  readonly isRecording: boolean;
  readonly child: ChildProcess;
}

/** Tells the relay where to dial. */
export function relayRoute(ground: Ground, relay: RelayProcess, target: RunningSshd): Route {
  const hostKey = formatSshPublicKey(target.hostKey);
  relay.child.stdin?.write(`${JSON.stringify({ address: target.address, hostKey })}\n`);
  return sshRoute(ground, {
    name: relay.name,
    title: relay.isRecording ? 'relay alone, recording' : 'relay alone',
    parts: [{ name: 'proxy', pid: relay.child.pid ?? 0 }],
    isRecording: relay.isRecording,
    host: 'target',
    lines: [
      ...quiet,
      `IdentityFile ${relay.key}`,
      `CertificateFile ${relay.key}-cert.pub`,
      `UserKnownHostsFile ${relay.knownHosts}`,
      ...hostBlock('target', relay.port, `${login}@bench`),
    ],
  });
}

/** Ends a process that lives as long as its stdin. */
export async function stopProcess({ child }: { readonly child: ChildProcess }): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = once(child, 'exit');
  child.stdin?.end();
  await gone;
}

/** Lets Node write CPU profiles of what `start` starts; they are written when it stops. */
async function profiled<T>(dir: string | undefined, start: () => Promise<T>): Promise<T> {
  if (dir === undefined) return start();
  process.env['NODE_OPTIONS'] = `--cpu-prof --cpu-prof-dir=${dir}`;
  try {
    return await start();
  } finally {
    delete process.env['NODE_OPTIONS'];
  }
}

/** The whole product: the cluster at home, an administrator, later an agent in front of the target. */
export class Cluster implements AsyncDisposable {
  readonly home: Home;
  readonly person: Person;
  readonly targetAuthorities: readonly string[];
  agent: AgentProcess | undefined;

  constructor(home: Home, person: Person, targetAuthorities: readonly string[]) {
    this.home = home;
    this.person = person;
    this.targetAuthorities = targetAuthorities;
  }

  static async start(profileDir?: string): Promise<Cluster> {
    const home = await profiled(profileDir, () => startHome({ flags: ['--no-agent'] }));
    try {
      const person = await createAdmin(home);
      const lines = (await exportCa(person, 'target_ssh')).split('\n');
      return new Cluster(
        home,
        person,
        lines.filter((line) => line !== ''),
      );
    } catch (thrown) {
      await home[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  async addTarget(target: RunningSshd, profileDir?: string): Promise<void> {
    const spec = { address: target.address, host_key: formatSshPublicKey(target.hostKey) };
    const node = { kind: 'node', name: 'bench', spec };
    this.agent = await profiled(profileDir, () => joinAgent(this.person, 'bench', [node]));
  }

  get parts(): Part[] {
    return [
      { name: 'cluster', pid: this.home.pid },
      { name: 'agent', pid: this.agent?.pid ?? 0 },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent?.stop();
    await this.home[Symbol.asyncDispose]();
  }
}

/** Through `gate proxy ssh`, as `gate config` writes it. */
export async function helperRoute(ground: Ground, cluster: Cluster): Promise<Route> {
  const file = await cluster.person.sshConfig();
  const lines = [...quiet, ...readFileSync(file, 'utf8').split('\n')];
  return sshRoute(ground, {
    name: 'helper',
    title: 'Gatehouse, ProxyCommand',
    parts: cluster.parts,
    isRecording: true,
    host: `${login}@bench`,
    env: { GATE_HOME: cluster.person.gateHome },
    lines,
  });
}

/** Plain ssh to the one port: `ssh -p PORT login@target@host`. */
export async function portRoute(ground: Ground, cluster: Cluster): Promise<Route> {
  const status = await cluster.person.json<Record<string, string>>(['status']);
  const [host, port] = cluster.home.ready.proxyAddr.split(':');
  return sshRoute(ground, {
    name: 'port',
    title: 'Gatehouse, login@target@host',
    parts: cluster.parts,
    isRecording: true,
    host: 'target',
    lines: [
      ...quiet,
      `IdentityFile ${status['sshKeyFile']}`,
      `CertificateFile ${status['sshCertFile']}`,
      `UserKnownHostsFile ${status['knownHostsFile']}`,
      'Host target',
      `  HostName ${host}`,
      `  Port ${port}`,
      `  User ${login}@bench`,
    ],
  });
}
