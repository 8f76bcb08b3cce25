import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import type { DatabaseLogin } from './database-login.js';
import { addService, chooseService, removeService, serviceFile } from './service-file.js';

const login: DatabaseLogin = {
  service: 'pg-1',
  name: 'pg-1',
  host: 'gate.example.com',
  port: 443,
  user: 'reader',
  database: 'app',
  certFile: '/h/cert.pem',
  keyFile: '/h/key.pem',
  caFile: '/h/ca.pem',
  validUntil: '2026-11-27T12:00:00Z',
};

function createFile(content?: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'gate-service-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'pg_service.conf');
  if (content !== undefined) writeFileSync(file, content);
  return file;
}

it('writes one block for a service, replaces it, and leaves all else as it is', () => {
  const own = '[mine]\nhost=localhost\n\n# end of mine';
  const file = createFile(own);
  addService(file, login);
  addService(file, { ...login, user: 'owner' });
  addService(file, { ...login, service: 'pg-10', port: 444 });
  const text = readFileSync(file, 'utf8');
  expect(text.startsWith(`${own}\n`)).toBe(true);
  expect(text.match(/^\[pg-1\]$/gm)).toHaveLength(1);
  expect(text).toContain('user=owner\n');
  expect(text).not.toContain(
    'user=reader\ndbname=app\nsslmode=verify-full\nsslrootcert=/h/ca.pem\nsslcert=/h/cert.pem\nsslkey=/h/key.pem\n# end pg-1\n',
  );
  expect(statSync(file).mode & 0o777).toBe(0o600);
  removeService(file, login);
  removeService(file, { ...login, service: 'pg-10', port: 444 });
  removeService(file, { ...login, service: 'never-there' });
  expect(readFileSync(file, 'utf8')).toBe(`${own}\n`);
});

it('makes the file where there is none, and does nothing where there is nothing to remove', () => {
  const file = createFile();
  removeService(file, login);
  addService(file, login);
  expect(readFileSync(file, 'utf8')).toContain('[pg-1]\nhost=gate.example.com\nport=443\n');
});

it('takes no name that a section of somebody else has', () => {
  const file = createFile('[pg-1]\nhost=elsewhere\n');
  const place = { ...login, cluster: 'home' };
  expect(chooseService(file, place)).toBe('pg-1.home');
  expect(chooseService(file, { ...place, name: 'pg-2' })).toBe('pg-2');
  const own = createFile();
  addService(own, login);
  expect(chooseService(own, place)).toBe('pg-1');
});

it('leaves the block of another cluster alone that has a database of this name', () => {
  const file = createFile();
  addService(file, login);
  const elsewhere = { ...login, host: 'other.example.com' };
  const service = chooseService(file, { ...elsewhere, cluster: 'other' });
  expect(service).toBe('pg-1.other');
  addService(file, { ...elsewhere, service });
  const text = readFileSync(file, 'utf8');
  expect(text).toContain('[pg-1]\nhost=gate.example.com\n');
  expect(text).toContain('[pg-1.other]\nhost=other.example.com\n');
  removeService(file, { ...elsewhere, service });
  expect(readFileSync(file, 'utf8')).toContain('[pg-1]\n');
});

it('is the file that libpq reads', () => {
  expect(serviceFile({ PGSERVICEFILE: '/x/y', HOME: '/h' })).toBe('/x/y');
  expect(serviceFile({ HOME: '/h' })).toBe('/h/.pg_service.conf');
});
