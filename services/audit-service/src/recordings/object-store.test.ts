import { existsSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createId } from '@gatehouse/kit/ids';
import { expect, it, onTestFinished } from 'vitest';

import { chunkKey, createDirectoryStore, manifestKey } from './object-store.js';

async function temporaryRoot(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-objects-'));
  onTestFinished(async () => rm(folder, { recursive: true, force: true }));
  return join(folder, 'root');
}

it('gives back what was put, whole, for its owner only, and knows what is not there', async () => {
  const root = await temporaryRoot();
  const store = createDirectoryStore(root);
  const key = chunkKey(createId('ses'), createId('rec'), 0);
  expect(await store.get(key)).toBeUndefined();
  await store.put(key, Buffer.from('content'));
  await store.put(key, Buffer.from('content'));
  expect((await store.get(key))?.toString()).toBe('content');
  expect(statSync(join(root, key)).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(root, key, '..'))).toEqual(['00000000.gz']);
});

// A key that leads out of the root would let whoever names a recording write anywhere.
it.each([
  '../x.gz',
  '/etc/x.gz',
  'ses_1/../../x.gz',
  'a/b',
  'a/.gz',
  'a/b.gz/../../../x.gz',
  'a\0/b.gz',
  '',
])('refuses the key %j', async (key) => {
  const store = createDirectoryStore(await temporaryRoot());
  await expect(store.put(key, Buffer.from('x'))).rejects.toThrow(RangeError);
  await expect(store.get(key)).rejects.toThrow(RangeError);
});

it('makes keys of ids only', () => {
  const [session, recording] = [createId('ses'), createId('rec')];
  expect(manifestKey(session, recording)).toBe(`${session}/${recording}/manifest.json`);
  for (const id of ['..', `${session}/..`, '', 'ses_1', `../${session}`]) {
    expect(() => chunkKey(id, recording, 0)).toThrow(RangeError);
    expect(() => chunkKey(session, id, 0)).toThrow(RangeError);
  }
});

it('replaces a planted link instead of writing through it', async () => {
  const root = await temporaryRoot();
  const store = createDirectoryStore(root);
  const [session, recording] = [createId('ses'), createId('rec')];
  await store.put(chunkKey(session, recording, 0), Buffer.from('first'));
  const outside = join(root, '..', 'outside');
  symlinkSync(outside, join(root, session, recording, '00000001.gz'));
  await store.put(chunkKey(session, recording, 1), Buffer.from('second'));
  expect(existsSync(outside)).toBe(false);
  expect((await store.get(chunkKey(session, recording, 1)))?.toString()).toBe('second');
});
