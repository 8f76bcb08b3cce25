/** Debian's OpenSSH server as a target: trusts `target_ssh` and nobody else. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findFreePort } from '@gatehouse/kit/testing';

import { eventually, run } from '../stack/run.js';

const binary = '/usr/sbin/sshd';

/** @throws naming the package where it is missing */
export async function install(): Promise<void> {
  if (!existsSync(binary)) throw new Error('sshd is missing; run apt-get install openssh-server');
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
}

export interface SshdOptions {
  /** `target_ssh` public key lines; none: nobody may log in. */
  readonly trustedUserCa?: string;
  readonly acceptEnv?: readonly string[];
  /** Lines of sshd_config that count before ours: the first value of a keyword is the one taken. */
  readonly extra?: readonly string[];
}

export class Sshd implements AsyncDisposable {
  readonly dir: string;
  port = 0;
  #child: ChildProcess | undefined;
  readonly #options: SshdOptions;

  constructor(options: SshdOptions) {
    this.#options = options;
    this.dir = mkdtempSync(join(tmpdir(), 'gatehouse-sshd-'));
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get logFile(): string {
    return join(this.dir, 'log');
  }

  get log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  /** How many connections its log has seen. */
  get connections(): number {
    return this.log.split('\n').filter((line) => line.includes('Connection from ')).length;
  }

  /** Its host key, as a pin. */
  get hostKey(): string {
    return readFileSync(join(this.dir, 'host.pub'), 'utf8').split(' ').slice(0, 2).join(' ');
  }

  async makeHostKey(): Promise<void> {
    rmSync(join(this.dir, 'host'), { force: true });
    rmSync(join(this.dir, 'host.pub'), { force: true });
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(this.dir, 'host')]);
  }

  async start(): Promise<this> {
    await install();
    if (!existsSync(join(this.dir, 'host'))) await this.makeHostKey();
    this.port ||= await findFreePort();
    writeFileSync(join(this.dir, 'ca.pub'), this.#options.trustedUserCa ?? '');
    writeFileSync(
      join(this.dir, 'config'),
      [
        ...(this.#options.extra ?? []),
        `Port ${this.port}`,
        'ListenAddress 127.0.0.1',
        `HostKey ${join(this.dir, 'host')}`,
        `TrustedUserCAKeys ${join(this.dir, 'ca.pub')}`,
        'AuthorizedKeysFile none',
        'PidFile none',
        'UsePAM no',
        'StrictModes no',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'AllowTcpForwarding yes',
        'LogLevel VERBOSE',
        'MaxStartups 200',
        'MaxSessions 200',
        'Subsystem sftp internal-sftp',
        `AcceptEnv ${(this.#options.acceptEnv ?? ['LANG']).join(' ')}`,
        '',
      ].join('\n'),
    );
    const child = spawn(binary, ['-D', '-f', join(this.dir, 'config'), '-E', this.logFile], {
      stdio: 'ignore',
      detached: false,
    });
    this.#child = child;
    await eventually('sshd', async () => {
      if (child.exitCode !== null) throw new Error(`sshd ended: ${this.log}`);
      return canConnect(this.port);
    });
    return this;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

async function canConnect(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
