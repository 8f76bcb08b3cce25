/** A person at a database: logged in by `gate db login`, with the stock psql, or with a driver in this process. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Client, type ClientConfig } from 'pg';

import type { Person } from './person.js';
import { run, type RunOptions, type RunResult } from './run.js';

export interface DatabaseAccess {
  readonly service: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

export class DatabasePerson {
  readonly person: Person;
  readonly access: DatabaseAccess;

  private constructor(person: Person, access: DatabaseAccess) {
    this.person = person;
    this.access = access;
  }

  /** @param flags of `gate db login`, after its name */
  static async login(
    person: Person,
    target: string,
    flags: readonly string[] = [],
  ): Promise<DatabasePerson> {
    const env = { PGSERVICEFILE: serviceFileOf(person) };
    const access = await person.json<DatabaseAccess>(['db', 'login', target, ...flags], { env });
    return new DatabasePerson(person, access);
  }

  /** Stock psql by the service's name; `settings` after it in the connection string. */
  async psql(
    statement: string,
    options: RunOptions & { settings?: string; args?: readonly string[] } = {},
  ): Promise<RunResult> {
    const { settings = '', args = [], ...rest } = options;
    const target = `service=${this.access.service} ${settings}`;
    return run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', ...args, '-d', target, '-c', statement], {
      ...rest,
      env: this.env(rest.env),
    });
  }

  env(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return { PGSERVICEFILE: serviceFileOf(this.person), ...more };
  }

  /** The `pg` driver, connected. */
  async connect(more: ClientConfig = {}): Promise<Client> {
    const { host, port, user, database, certFile, keyFile, caFile } = this.access;
    const client = new Client({
      host,
      port,
      user,
      database,
      ssl: {
        ca: readFileSync(caFile, 'utf8'),
        cert: readFileSync(certFile, 'utf8'),
        key: readFileSync(keyFile, 'utf8'),
      },
      ...more,
    });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }
}

function serviceFileOf(person: Person): string {
  return join(person.gateHome, 'pg_service.conf');
}
