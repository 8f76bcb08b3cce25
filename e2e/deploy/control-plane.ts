/**
 * A Kubernetes control plane for the length of a test, all of it on loopback: etcd, API server, controllers and scheduler
 * are the real ones; one node is played by kwok, which says of every pod that it runs. Nothing is ever run.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findFreePort } from '@gatehouse/kit/testing';

import { eventually, GiveUp, run, type RunOptions } from '../stack/run.js';
import { cache } from './engine.js';

const program = join(cache, 'control-plane/control-plane');
const startTimeoutMs = 180_000;
const commandTimeoutMs = 600_000;

export class ControlPlane implements AsyncDisposable {
  readonly #dir = mkdtempSync(join(tmpdir(), 'gatehouse-kubernetes-'));
  readonly #parts: ChildProcess[] = [];
  port = 0;

  get caFile(): string {
    return join(this.#dir, 'ca.crt');
  }

  async start(): Promise<this> {
    await this.#makeCertificates();
    const etcd = await findFreePort();
    const peer = await findFreePort();
    this.port = await findFreePort();
    for (const user of ['admin', 'controllers', 'scheduler']) this.#writeKubeconfig(user);
    this.#spawn('etcd', {
      'data-dir': join(this.#dir, 'etcd'),
      'log-level': 'warn',
      'listen-client-urls': `http://127.0.0.1:${etcd}`,
      'advertise-client-urls': `http://127.0.0.1:${etcd}`,
      'listen-peer-urls': `http://127.0.0.1:${peer}`,
      'initial-advertise-peer-urls': `http://127.0.0.1:${peer}`,
      'initial-cluster': `default=http://127.0.0.1:${peer}`,
      'unsafe-no-fsync': 'true',
    });
    this.#spawn('apiserver', {
      'etcd-servers': `http://127.0.0.1:${etcd}`,
      'bind-address': '127.0.0.1',
      'secure-port': String(this.port),
      // An address of loopback can't be announced to pods, and there are none that would ask.
      'endpoint-reconciler-type': 'none',
      'service-cluster-ip-range': '10.96.0.0/16',
      'client-ca-file': this.caFile,
      'tls-cert-file': this.#file('apiserver.crt'),
      'tls-private-key-file': this.#file('apiserver.key'),
      'service-account-issuer': 'https://kubernetes.default.svc',
      'service-account-key-file': this.#file('accounts.key'),
      'service-account-signing-key-file': this.#file('accounts.key'),
      'authorization-mode': 'Node,RBAC',
    });
    await this.#until('the API server', ['get', '--raw', '/readyz']);
    const local = { 'bind-address': '127.0.0.1', 'leader-elect': 'false' };
    this.#spawn('controllers', {
      ...local,
      ...this.#credentials('controllers'),
      'secure-port': String(await findFreePort()),
      'use-service-account-credentials': 'true',
      'service-account-private-key-file': this.#file('accounts.key'),
      'root-ca-file': this.caFile,
    });
    this.#spawn('scheduler', {
      ...local,
      ...this.#credentials('scheduler'),
      'secure-port': String(await findFreePort()),
    });
    this.#spawn('kwok', {
      kubeconfig: this.#file('admin.kubeconfig'),
      config: join(cache, 'control-plane/kwok.yaml'),
      'manage-all-nodes': 'true',
      'node-ip': '127.0.0.1',
      'server-address': `127.0.0.1:${await findFreePort()}`,
      cidr: '10.244.0.0/16',
      'node-lease-duration-seconds': '40',
    });
    await this.#until('the first service account', ['get', 'serviceaccount', 'default']);
    await this.apply(node);
    await this.kubectl(['wait', '--for=condition=Ready', 'node/node-1', '--timeout=120s']);
    return this;
  }

  /** Standard output of a command that must succeed. */
  async kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.#must('kubectl', args, options);
  }

  async helm(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.#must('helm', args, options);
  }

  async apply(manifest: string): Promise<void> {
    await this.kubectl(['apply', '--filename', '-'], { stdin: manifest });
  }

  async #must(tool: string, args: readonly string[], options: RunOptions): Promise<string> {
    const ended = await this.#run(tool, args, options);
    if (ended.code !== 0)
      throw new Error(`${tool} ${args.join(' ')}: ${ended.code}\n${ended.stderr.slice(-6000)}`);
    return ended.stdout;
  }

  async #run(tool: string, args: readonly string[], options: RunOptions) {
    const env = {
      KUBECONFIG: this.#file('admin.kubeconfig'),
      HELM_CACHE_HOME: this.#file('helm'),
      HELM_CONFIG_HOME: this.#file('helm'),
      HELM_DATA_HOME: this.#file('helm'),
    };
    const timeoutMs = commandTimeoutMs;
    return run(join(cache, 'kubernetes-clients', tool), args, { timeoutMs, ...options, env });
  }

  async #until(what: string, args: readonly string[]): Promise<void> {
    await eventually(
      what,
      async () => {
        const ended = this.#parts.find((part) => part.exitCode !== null);
        if (ended !== undefined)
          throw new GiveUp(`a part ended: ${ended.spawnargs[1]}\n${this.#logOf(ended)}`);
        return (await this.#run('kubectl', args, {})).code === 0;
      },
      startTimeoutMs,
    );
  }

  #logOf(part: ChildProcess): string {
    return readFileSync(this.#file(`${part.spawnargs[1]}.log`), 'utf8').slice(-3000);
  }

  #file(name: string): string {
    return join(this.#dir, name);
  }

  #credentials(user: string) {
    const file = this.#file(`${user}.kubeconfig`);
    return {
      kubeconfig: file,
      'authentication-kubeconfig': file,
      'authorization-kubeconfig': file,
    };
  }

  #spawn(part: string, flags: Readonly<Record<string, string>>): void {
    const log = openSync(this.#file(`${part}.log`), 'w');
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const child = spawn(program, [part, ...args], { stdio: ['ignore', log, log], cwd: this.#dir });
    closeSync(log);
    child.on('error', () => undefined);
    this.#parts.push(child);
  }

  #writeKubeconfig(user: string): void {
    const cluster = { server: `https://127.0.0.1:${this.port}`, 'certificate-authority': 'ca.crt' };
    const credentials = { 'client-certificate': `${user}.crt`, 'client-key': `${user}.key` };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster }],
      users: [{ name: user, user: credentials }],
      contexts: [{ name: 'test', context: { cluster: 'test', user } }],
      'current-context': 'test',
    };
    writeFileSync(this.#file(`${user}.kubeconfig`), JSON.stringify(config), { mode: 0o600 });
  }

  async #makeCertificates(): Promise<void> {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    await this.#openssl(
      ['req', '-x509', ...key, '-days', '2', '-subj', '/CN=test'].concat([
        '-keyout',
        'ca.key',
        '-out',
        'ca.crt',
      ]),
    );
    await this.#openssl(['genrsa', '-out', 'accounts.key', '2048']);
    const certificates = {
      apiserver: { subject: '/CN=apiserver', extension: 'subjectAltName=IP:127.0.0.1' },
      admin: { subject: '/O=system:masters/CN=admin', extension: 'extendedKeyUsage=clientAuth' },
      controllers: {
        subject: '/CN=system:kube-controller-manager',
        extension: 'extendedKeyUsage=clientAuth',
      },
      scheduler: {
        subject: '/CN=system:kube-scheduler',
        extension: 'extendedKeyUsage=clientAuth',
      },
    };
    for (const [name, { subject, extension }] of Object.entries(certificates))
      await this.#openssl(
        ['req', '-x509', ...key, '-days', '2', '-subj', subject, '-addext', extension].concat(
          ['-addext', 'basicConstraints=critical,CA:false', '-CA', 'ca.crt', '-CAkey', 'ca.key'],
          ['-keyout', `${name}.key`, '-out', `${name}.crt`],
        ),
      );
  }

  async #openssl(args: readonly string[]): Promise<void> {
    const made = await run('openssl', args, { cwd: this.#dir });
    if (made.code !== 0) throw new Error(`openssl ${args.join(' ')}: ${made.stderr}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Last started, first stopped: the API server waits for etcd while it ends.
    for (const part of this.#parts.toReversed()) await stop(part);
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

async function stop(part: ChildProcess): Promise<void> {
  if (part.pid === undefined || part.exitCode !== null || part.signalCode !== null) return;
  const gone = once(part, 'exit');
  part.kill('SIGTERM');
  const timer = setTimeout(() => part.kill('SIGKILL'), 20_000);
  await gone;
  clearTimeout(timer);
}

const capacity = { cpu: '64', memory: '256Gi', pods: '200' };
const node = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {
    name: 'node-1',
    labels: { 'kubernetes.io/hostname': 'node-1', 'kubernetes.io/os': 'linux' },
  },
  status: { allocatable: capacity, capacity },
});
