/** The connection service file of libpq (PostgreSQL §34.17): one block of ours for each database, all else stays as it is. */
import { homedir } from 'node:os';
import { join } from 'node:path';

import { readFileIfThere, writeFileWhole } from '../profile/files.js';
import type { DatabaseLogin } from './database-login.js';

const begin = (service: string) => `# begin ${service}, written by gate db login\n`;
const end = (service: string) => `# end ${service}\n`;

/** `$PGSERVICEFILE`, else `~/.pg_service.conf`. */
export function serviceFile(variables: Readonly<Record<string, string | undefined>>): string {
  const named = variables['PGSERVICEFILE'];
  if (named !== undefined && named !== '') return named;
  return join(variables['HOME'] ?? homedir(), '.pg_service.conf');
}

/** The name of the database, or with its cluster where a section of somebody else's is called so. */
export function chooseService(file: string, name: string, cluster: string): string {
  const others = withoutBlock(readFileIfThere(file) ?? '', name);
  const isTaken = others.split('\n').some((line) => line.trim() === `[${name}]`);
  return isTaken ? `${name}.${cluster}` : name;
}

/** Puts the block of a login in, in place of an older one. @throws FILE_UNWRITABLE */
export function addService(file: string, login: DatabaseLogin): void {
  const rest = withoutBlock(readFileIfThere(file) ?? '', login.service);
  const gap = rest === '' || rest.endsWith('\n') ? '' : '\n';
  writeFileWhole(file, `${rest}${gap}${formatBlock(login)}`);
}

/** Takes the block out. @throws FILE_UNWRITABLE */
export function removeService(file: string, service: string): void {
  const text = readFileIfThere(file);
  if (text === undefined || !text.includes(begin(service))) return;
  writeFileWhole(file, withoutBlock(text, service));
}

function withoutBlock(text: string, service: string): string {
  const from = text.indexOf(begin(service));
  const to = text.indexOf(end(service), from);
  return from === -1 || to === -1
    ? text
    : text.slice(0, from) + text.slice(to + end(service).length);
}

function formatBlock(login: DatabaseLogin): string {
  return [
    begin(login.service),
    `[${login.service}]\n`,
    `host=${login.host}\n`,
    `port=${login.port}\n`,
    `user=${login.user}\n`,
    `dbname=${login.database}\n`,
    'sslmode=verify-full\n',
    `sslrootcert=${login.caFile}\n`,
    `sslcert=${login.certFile}\n`,
    `sslkey=${login.keyFile}\n`,
    end(login.service),
  ].join('');
}
