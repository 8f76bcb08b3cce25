/** The connection service file of libpq (PostgreSQL §34.17): one block of ours for each database, all else stays as it is. */
import { homedir } from 'node:os';
import { join } from 'node:path';

import { readFileIfThere, writeFileWhole } from '../profile/files.js';
import type { DatabaseLogin, ServicePlace } from './database-login.js';

/** Which block: its name, and the proxy that it leads to. Those of other clusters are not touched. */
type Place = Pick<DatabaseLogin, 'service' | 'host' | 'port'>;

const begin = ({ service, host, port }: Place) =>
  `# begin ${service} at ${host}:${port}, written by gate db login\n`;
const end = ({ service }: Place) => `# end ${service}\n`;

/** `$PGSERVICEFILE`, else `~/.pg_service.conf`. */
export function serviceFile(variables: Readonly<Record<string, string | undefined>>): string {
  const named = variables['PGSERVICEFILE'];
  if (named !== undefined && named !== '') return named;
  return join(variables['HOME'] ?? homedir(), '.pg_service.conf');
}

/** The name of the database, or with its cluster where a section of somebody else's or of another cluster is called so. */
export function chooseService(file: string, { name, cluster, host, port }: ServicePlace): string {
  const others = withoutBlock(readFileIfThere(file) ?? '', { service: name, host, port });
  const isTaken = others.split('\n').some((line) => line.trim() === `[${name}]`);
  return isTaken ? `${name}.${cluster}` : name;
}

/** Puts the block of a login in, in place of an older one. @throws FILE_UNWRITABLE */
export function addService(file: string, login: DatabaseLogin): void {
  const rest = withoutBlock(readFileIfThere(file) ?? '', login);
  const gap = rest === '' || rest.endsWith('\n') ? '' : '\n';
  writeFileWhole(file, `${rest}${gap}${formatBlock(login)}`);
}

/** Takes the block out. @throws FILE_UNWRITABLE */
export function removeService(file: string, place: Place): void {
  const text = readFileIfThere(file);
  if (text === undefined || !text.includes(begin(place))) return;
  writeFileWhole(file, withoutBlock(text, place));
}

function withoutBlock(text: string, place: Place): string {
  const from = text.indexOf(begin(place));
  const to = text.indexOf(end(place), from);
  return from === -1 || to === -1 ? text : text.slice(0, from) + text.slice(to + end(place).length);
}

function formatBlock(login: DatabaseLogin): string {
  return [
    begin(login),
    `[${login.service}]\n`,
    `host=${login.host}\n`,
    `port=${login.port}\n`,
    `user=${login.user}\n`,
    `dbname=${login.database}\n`,
    'sslmode=verify-full\n',
    `sslrootcert=${login.caFile}\n`,
    `sslcert=${login.certFile}\n`,
    `sslkey=${login.keyFile}\n`,
    end(login),
  ].join('');
}
