/** Debian's PostgreSQL as a target: TLS by an authority of its own, passwords by SCRAM, one database and two users. */
import { execFileSync } from 'node:child_process';
import { chownSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Client } from 'pg';

import { Postgres } from './postgres.js';

export class TargetDatabase implements AsyncDisposable {
  readonly server: Postgres;
  readonly dir: string;
  readonly password = 'canary-stored-pass word';

  constructor(dir: string) {
    this.dir = dir;
    this.server = new Postgres(dir);
  }

  get caFile(): string {
    return join(this.dir, 'data', 'server.crt');
  }

  get passwordFile(): string {
    return join(this.dir, 'password');
  }

  /** For the agent's configuration. */
  get spec(): Readonly<Record<string, unknown>> {
    const file = this.passwordFile;
    return {
      protocol: 'postgres',
      address: this.server.address,
      tls: { ca_file: this.caFile, server_name: 'localhost' },
      auth: {
        password: ['reader', 'owner', 'bench'].map((user) => ({ user, password_file: file })),
      },
    };
  }

  async start(settings: readonly string[] = []): Promise<this> {
    await this.server.start();
    const data = join(this.dir, 'data');
    const made = (name: string) => join(data, name);
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const files = ['-keyout', made('server.key'), '-out', made('server.crt')];
    execFileSync('openssl', ['req', '-x509', ...key, ...subject, ...files, '-days', '30'], {
      stdio: 'ignore',
    });
    const { uid, gid } = statSync(data);
    for (const name of ['server.key', 'server.crt']) chownSync(made(name), uid, gid);
    writeFileSync(
      made('pg_hba.conf'),
      'host all postgres 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n',
    );
    writeFileSync(this.passwordFile, `${this.password}\n`, { mode: 0o600 });
    await this.server.ask('alter system set ssl = on');
    for (const setting of settings) await this.server.ask(`alter system set ${setting}`);
    await this.server.stop();
    await this.server.start();
    for (const user of ['reader', 'owner', 'bench'])
      await this.server.ask(`create role ${user} login password '${this.password}'`);
    await this.server.ask('create database app owner owner');
    return this;
  }

  /** Straight to the server, as its superuser. */
  async query(statement: string, database = 'app'): Promise<Record<string, unknown>[]> {
    const url = this.server.url.replace(/\/postgres$/, `/${database}`);
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      const { rows } = await client.query<Record<string, unknown>>(statement);
      return rows;
    } finally {
      await client.end();
    }
  }

  /** Lets users in by certificates of this authority, `CN=<user>@<target>`; makes one called `certified`. */
  async trustCertificates(authorityPem: string, target: string): Promise<void> {
    const data = join(this.dir, 'data');
    writeFileSync(join(data, 'clients.crt'), authorityPem);
    writeFileSync(join(data, 'pg_ident.conf'), `gatehouse /^(.*)@${target}$ \\1\n`);
    const hba = join(data, 'pg_hba.conf');
    const lines = readFileSync(hba, 'utf8');
    writeFileSync(hba, `hostssl all certified 127.0.0.1/32 cert map=gatehouse\n${lines}`);
    await this.server.ask(`alter system set ssl_ca_file = 'clients.crt'`);
    await this.server.ask('create role certified login');
    await this.server.ask('select pg_reload_conf()');
  }

  get log(): string {
    return readFileSync(this.server.logFile, 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}
