/** Certificates for one database alone, as files that its own clients read. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';

import { derToPem } from '@gatehouse/identity';

import { openSession, withAdministration, withLoginService } from '../cluster/clients.js';
import { listTargets } from '../cluster/targets.js';
import type { GlobalCall } from '../command.js';
import { cliError } from '../errors.js';
import { createLoginKeys } from '../login/store-issued.js';
import { formatTime } from '../output/text.js';
import { readFileIfThere, writeFileWhole } from '../profile/files.js';
import { isRecord, parseJson } from '../profile/json.js';
import { checkNames, checkWish } from './names.js';
import { databaseFiles, databasesFolder } from './paths.js';

/** A login at a database: where its clients connect to, and with which files. */
export interface DatabaseLogin {
  /** Its name in the service file. */
  readonly service: string;
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** RFC 3339 */
  readonly validUntil: string;
}

/** What a name for a service is chosen by. */
export interface ServicePlace extends Pick<DatabaseLogin, 'name' | 'host' | 'port'> {
  readonly cluster: string;
}

export interface DatabaseWish {
  readonly name: string;
  /** Default: the only one that the person may be. */
  readonly user: string | undefined;
  /** Default: named like the user, as PostgreSQL's own clients have it. */
  readonly database: string | undefined;
}

/**
 * Gets certificates that lead to this database alone, and stores them. What was asked for by name, they are bound to.
 * @throws USAGE, NOT_FOUND, OPTION_MISSING, NOT_A_CLUSTER, and what the cluster says
 */
export async function logInToDatabase(
  call: GlobalCall,
  wish: DatabaseWish,
  chooseService: (place: ServicePlace) => string,
): Promise<DatabaseLogin> {
  checkWish(wish);
  const { home, address, login, target } = openSession(call);
  const { name, principals } = await findDatabase(call, wish.name);
  const user = wish.user ?? onlyOne(principals);
  const { cluster } = login.profile;
  const service = chooseService({ name, cluster, host: address.host, port: address.port });
  checkNames(address.text, { service, name, user });
  const keys = createLoginKeys();
  const route = { kind: 'database', name, user: wish.user, database: wish.database };
  const { issued } = await withLoginService(target, (client) =>
    client.reissue({
      sshPublicKey: keys.sshPublicKey,
      tlsPublicKey: keys.tlsPublicKey,
      routeJson: JSON.stringify(route),
    }),
  );
  if (issued?.trust === undefined || issued.validUntil === undefined) {
    const details = { proxy: address.text, why: 'its answer is not complete' };
    throw cliError('NOT_A_CLUSTER', { details });
  }
  const files = databaseFiles(home, address.text, name);
  const stored: DatabaseLogin = {
    service,
    name,
    host: address.host,
    port: address.port,
    user,
    database: wish.database ?? user,
    certFile: files.certificate,
    keyFile: files.key,
    caFile: files.ca,
    validUntil: formatTime(issued.validUntil.getTime()),
  };
  mkdirSync(files.folder, { recursive: true, mode: 0o700 });
  writeFileWhole(files.key, keys.tlsKeyPem);
  writeFileWhole(files.certificate, derToPem(issued.tlsCertificate, 'CERTIFICATE'));
  writeFileWhole(
    files.ca,
    issued.trust.hostTlsCa.map((der) => derToPem(der, 'CERTIFICATE')).join(''),
  );
  writeFileWhole(files.login, `${JSON.stringify({ version: 1, ...stored }, null, 2)}\n`);
  return stored;
}

async function findDatabase(call: GlobalCall, name: string) {
  const targets = await withAdministration(call, (client) =>
    listTargets(client, { kind: 'database', search: name, labels: {} }),
  );
  const found = targets.find((one) => one.name.toLowerCase() === name.toLowerCase());
  if (found !== undefined) return found;
  throw cliError('NOT_FOUND', { details: { what: `database: ${name}` }, remedy: 'gate db ls' });
}

function onlyOne(principals: readonly string[]): string {
  const [only, ...more] = principals;
  if (only !== undefined && more.length === 0) return only;
  const which =
    only === undefined
      ? ' (your login names none there; after a change of your roles, gate login)'
      : ` (one of ${principals.join(', ')})`;
  throw cliError('OPTION_MISSING', {
    details: { what: 'the database user', flag: `--db-user NAME${which}` },
  });
}

/** The stored login at a database; undefined where there is none. */
export function readDatabaseLogin(
  home: string,
  proxy: string,
  name: string,
): DatabaseLogin | undefined {
  const value = parseJson(readFileIfThere(databaseFiles(home, proxy, name).login) ?? '');
  if (!isRecord(value) || value['version'] !== 1) return undefined;
  const text = (field: string) => {
    const found = value[field];
    return typeof found === 'string' ? found : '';
  };
  return {
    service: text('service'),
    name: text('name'),
    host: text('host'),
    port: Number(value['port']),
    user: text('user'),
    database: text('database'),
    certFile: text('certFile'),
    keyFile: text('keyFile'),
    caFile: text('caFile'),
    validUntil: text('validUntil'),
  };
}

/** All stored logins at databases of a cluster. */
export function listDatabaseLogins(home: string, proxy: string): DatabaseLogin[] {
  let names: string[] = [];
  try {
    names = readdirSync(databasesFolder(home, proxy)).map(decodeURIComponent);
  } catch {
    // No login was ever stored.
  }
  return names
    .map((name) => readDatabaseLogin(home, proxy, name))
    .filter((login) => login !== undefined);
}

/** Removes its key and certificate. */
export function removeDatabaseKeys(home: string, proxy: string, name: string): void {
  const files = databaseFiles(home, proxy, name);
  for (const file of [files.key, files.certificate]) rmSync(file, { force: true });
}

/** Removes all of its files. */
export function removeDatabaseLogin(home: string, proxy: string, name: string): void {
  rmSync(databaseFiles(home, proxy, name).folder, { recursive: true, force: true });
}

/** The settings of a login under the names of libpq's variables. */
export function libpqVariables(login: DatabaseLogin): Readonly<Record<string, string>> {
  return {
    PGHOST: login.host,
    PGPORT: String(login.port),
    PGUSER: login.user,
    PGDATABASE: login.database,
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: login.caFile,
    PGSSLCERT: login.certFile,
    PGSSLKEY: login.keyFile,
  };
}
