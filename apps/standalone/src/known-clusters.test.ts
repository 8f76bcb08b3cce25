import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { noteKnownCluster } from './known-clusters.js';

function createHome() {
  const home = mkdtempSync(join(tmpdir(), 'known-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const file = join(home, 'known-clusters.json');
  return {
    home,
    file,
    clusters: () => (JSON.parse(readFileSync(file, 'utf8')) as { clusters: object[] }).clusters,
  };
}
const cluster = (proxyAddr: string, caPin: string) => ({ proxyAddr, caPin, clusterName: 'home' });

it('notes a cluster beside others, and a new authority in place of the old one', () => {
  const { home, clusters } = createHome();
  expect(noteKnownCluster(home, cluster('localhost:1', 'a'))).toBe(true);
  expect(noteKnownCluster(home, cluster('localhost:1', 'b'))).toBe(true);
  expect(noteKnownCluster(home, cluster('localhost:2', 'c'))).toBe(false);
  expect(clusters()).toEqual([cluster('localhost:1', 'b'), cluster('localhost:2', 'c')]);
});

it('says whether a login without a word means it', () => {
  const { home } = createHome();
  noteKnownCluster(home, cluster('localhost:1', 'a'));
  writeFileSync(
    join(home, 'last-cluster.json'),
    JSON.stringify({ version: 1, proxy: 'localhost:2' }),
  );
  expect(noteKnownCluster(home, cluster('localhost:1', 'a'))).toBe(false);
  expect(noteKnownCluster(home, cluster('localhost:2', 'b'))).toBe(true);
});

it('begins anew where the file is not understood, and lives without a folder', () => {
  const { home, file, clusters } = createHome();
  writeFileSync(file, '{');
  noteKnownCluster(home, cluster('localhost:1', 'a'));
  expect(clusters()).toHaveLength(1);
  expect(noteKnownCluster(join(file, 'no-folder'), cluster('localhost:1', 'a'))).toBe(true);
});
