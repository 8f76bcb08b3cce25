/** Where what `gate db login` writes lies: one folder for each database of a cluster, with the same names at each login. */
import { join } from 'node:path';

import { clusterFolder } from '../profile/paths.js';

export interface DatabaseFiles {
  readonly folder: string;
  readonly login: string;
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;
}

/** Of all databases of a cluster. */
export function databasesFolder(home: string, proxy: string): string {
  return join(clusterFolder(home, proxy), 'databases');
}

export function databaseFiles(home: string, proxy: string, name: string): DatabaseFiles {
  const folder = join(
    databasesFolder(home, proxy),
    encodeURIComponent(name).replaceAll('.', '%2E'),
  );
  return {
    folder,
    login: join(folder, 'login.json'),
    key: join(folder, 'key.pem'),
    certificate: join(folder, 'cert.pem'),
    ca: join(folder, 'ca.pem'),
  };
}
