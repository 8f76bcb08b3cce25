import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { openHome } from '../cluster/clients.js';
import type { GlobalCall } from '../command.js';
import { listDatabaseLogins } from './database-login.js';
import { logOutOfDatabases } from './log-out.js';
import { databaseFiles } from './paths.js';
import { addService } from './service-file.js';

const logins = ['pg-1', 'pg-2'].map((name) => ({
  service: name,
  name,
  host: 'localhost',
  port: 8443,
  user: 'reader',
  database: 'app',
  certFile: 'c',
  keyFile: 'k',
  caFile: 'a',
  validUntil: '2030-01-01T00:00:00Z',
}));

it('removes all keys, also where the service file can not be written, and takes the blocks out the next time', () => {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-logout-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const services = join(dir, 'services');
  for (const login of logins) addService(services, login);
  // A name so long that there is none for the file that would take its place.
  const unwritable = join(dir, 's'.repeat(255));
  copyFileSync(services, unwritable);
  const variables: Record<string, string> = { HOME: dir, PGSERVICEFILE: unwritable };
  const call = {
    environment: { variables },
    options: { home: join(dir, 'home'), proxy: 'localhost:8443' },
  } as unknown as GlobalCall;
  const { home, address } = openHome(call);
  const keys = logins.map((login) => {
    const files = databaseFiles(home, address.text, login.name);
    mkdirSync(files.folder, { recursive: true, mode: 0o700 });
    writeFileSync(files.key, 'key');
    writeFileSync(files.login, JSON.stringify({ version: 1, ...login }));
    return files.key;
  });
  expect(() => logOutOfDatabases(call)).toThrow();
  expect(keys.filter((key) => existsSync(key))).toEqual([]);
  expect(listDatabaseLogins(home, address.text)).toHaveLength(2);
  variables['PGSERVICEFILE'] = services;
  expect(logOutOfDatabases(call).map(({ name }) => name)).toEqual(['pg-1', 'pg-2']);
  expect(listDatabaseLogins(home, address.text)).toEqual([]);
});
