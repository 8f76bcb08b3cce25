/** A person in tests: a GATE_HOME, a password, an authenticator. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { TOTP, URI } from 'otpauth';

import type { Installation } from './installation.js';
import { run, type RunOptions, type RunResult } from './run.js';

const stepMs = 30_000;

export class Person {
  readonly name: string;
  readonly home: Installation;
  readonly gateHome: string;
  readonly passwordFile: string;
  readonly password: string;
  #totp: TOTP | undefined;
  #lastStep = 0;

  constructor(home: Installation, name: string) {
    this.home = home;
    this.name = name;
    this.gateHome = home.folder(`people/${name}`);
    this.password = `canary-${name}-correct horse battery`;
    this.passwordFile = join(home.folder('passwords'), name);
    writeFileSync(this.passwordFile, `${this.password}\n`, { mode: 0o600 });
  }

  async accept(inviteUrl: string): Promise<unknown> {
    const secretFile = join(this.home.folder('passwords'), `${this.name}.totp`);
    const result = await this.gate([
      'invite',
      'accept',
      inviteUrl,
      '--user',
      this.name,
      '--password-file',
      this.passwordFile,
      '--totp-secret-file',
      secretFile,
      '--format',
      'json',
    ]);
    if (result.code !== 0)
      throw new Error(`${this.name} could not accept: ${result.stderr}${result.stdout}`);
    const totp = URI.parse(readFileSync(secretFile, 'utf8').trim());
    if (!(totp instanceof TOTP)) throw new Error('not a TOTP URI');
    this.#totp = totp;
    return JSON.parse(result.stdout) as unknown;
  }

  /** A code that was not used before: the present one, else the next, else one after a wait. */
  async otp(): Promise<string> {
    const totp = this.#totp;
    if (totp === undefined) throw new Error('no authenticator yet');
    let step = Math.max(Math.floor(Date.now() / stepMs), this.#lastStep + 1);
    while (step > Math.floor(Date.now() / stepMs) + 1) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      step = Math.max(Math.floor(Date.now() / stepMs), this.#lastStep + 1);
    }
    this.#lastStep = step;
    return totp.generate({ timestamp: step * stepMs });
  }

  async tryLogin(args: readonly string[] = []): Promise<RunResult> {
    return this.gate([
      'login',
      '--auth',
      'local',
      '--user',
      this.name,
      '--password-file',
      this.passwordFile,
      '--otp',
      await this.otp(),
      '--format',
      'json',
      ...args,
    ]);
  }

  async login(args: readonly string[] = []): Promise<Record<string, unknown>> {
    const result = await this.tryLogin(args);
    if (result.code !== 0)
      throw new Error(`${this.name} could not log in: ${result.stderr}${result.stdout}`);
    return JSON.parse(result.stdout) as Record<string, unknown>;
  }

  async gate(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.home.gate(this.gateHome, args, options);
  }

  /** The JSON answer of a command that must succeed. */
  async json<T = unknown>(args: readonly string[], options: RunOptions = {}): Promise<T> {
    const result = await this.gate([...args, '--format', 'json'], options);
    if (result.code !== 0)
      throw new Error(`gate ${args.join(' ')}: ${result.code}\n${result.stderr}${result.stdout}`);
    return JSON.parse(result.stdout) as T;
  }

  /** The file for `ssh -F`, written by `gate config`. */
  async sshConfig(): Promise<string> {
    const file = join(this.gateHome, 'ssh-test-config');
    const result = await this.gate(['config', '--write', file]);
    if (result.code !== 0) throw new Error(`gate config: ${result.stderr}`);
    return file;
  }

  /** Stock OpenSSH with that file. */
  async ssh(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const config = await this.sshConfig();
    return run(
      'ssh',
      ['-F', config, '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=yes', ...args],
      {
        ...options,
        env: { GATE_HOME: this.gateHome, SSH_AUTH_SOCK: '', ...options.env },
      },
    );
  }
}

/** The first administrator, invited and logged in. */
export async function createAdmin(home: Installation, name = 'ada'): Promise<Person> {
  const url = home.ready.adminInviteUrl;
  if (url === null) throw new Error('there is an administrator already');
  const admin = new Person(home, name);
  await admin.accept(url);
  await admin.login();
  return admin;
}

/** A further person, invited by an administrator and logged in. Nobody is invited without a role: it is taken away after. */
export async function createPerson(
  admin: Person,
  name: string,
  roles: readonly string[],
): Promise<Person> {
  const asked = roles.length === 0 ? ['approver'] : roles;
  const { inviteUrl } = await admin.json<{ inviteUrl: string }>([
    'users',
    'add',
    name,
    '--roles',
    asked.join(','),
  ]);
  const person = new Person(admin.home, name);
  await person.accept(inviteUrl);
  if (roles.length === 0) {
    const file = join(admin.home.dir, `${name}.json`);
    writeFileSync(
      file,
      JSON.stringify({ kind: 'user', version: 'v1', metadata: { name }, spec: { roles: [] } }),
    );
    const applied = await admin.gate(['apply', '-f', file]);
    if (applied.code !== 0) throw new Error(applied.stderr);
  }
  await person.login();
  return person;
}
