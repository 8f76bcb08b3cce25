/** Who logged in to a cluster last; it outlives a logout. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { readFileIfThere, writeFileWhole } from './files.js';
import { clusterFolder } from './paths.js';

function fileOf(home: string, proxy: string): string {
  return join(clusterFolder(home, proxy), 'last-user');
}

/** The name, or undefined where nobody logged in yet. */
export function findLastUser(home: string, proxy: string): string | undefined {
  const name = readFileIfThere(fileOf(home, proxy))?.trim();
  return name === '' ? undefined : name;
}

/** Notes who logged in. */
export function rememberUser(home: string, proxy: string, user: string): void {
  mkdirSync(clusterFolder(home, proxy), { recursive: true, mode: 0o700 });
  writeFileWhole(fileOf(home, proxy), `${user}\n`);
}
