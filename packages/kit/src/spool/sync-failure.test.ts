import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';
import { expect, it, onTestFinished, vi } from 'vitest';

import { systemClock } from '../clock/clock.js';
import { createId } from '../ids/ids.js';
import { createMemoryEventLog, MemoryBroker } from '../testing/memory-event-log.js';
import { openSpool } from './spool.js';

/** A disk that can be told to refuse syncs. */
const disk = vi.hoisted(() => ({ isRefusing: false, syncs: 0 }));

vi.mock('node:fs', async (importOriginal) => {
  const fs = await importOriginal<typeof import('node:fs')>();
  return {
    ...fs,
    fdatasync: (fd: number, done: (error: Error | null) => void) => {
      disk.syncs += 1;
      if (disk.isRefusing) setImmediate(() => done(new Error('EIO: i/o error')));
      else fs.fdatasync(fd, done);
    },
  };
});

async function openPlace() {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-spool-'));
  onTestFinished(async () => {
    disk.isRefusing = false;
    await rm(dir, { recursive: true, force: true });
  });
  const open = async () =>
    openSpool({
      dir,
      eventLog: createMemoryEventLog(new MemoryBroker()),
      clock: systemClock,
      logger: pino({ level: 'silent' }),
      cluster: 'home',
      replicaId: createId('srv'),
    });
  return { open };
}

const event = {
  type: 'some.event',
  outcome: 'success' as const,
  actor: { kind: 'user', name: 'alice' },
  data: {},
};

it('is not ready while the disk refuses syncs, and syncs again by itself once it takes them', async () => {
  const { open } = await openPlace();
  await using spool = await open();
  disk.isRefusing = true;
  spool.emit(event);
  await expect.poll(() => spool.state().full).toBe(true);
  disk.isRefusing = false;
  await expect.poll(() => spool.state().full).toBe(false);
  const { syncs } = disk;
  spool.emit(event);
  await expect.poll(() => disk.syncs).toBeGreaterThan(syncs);
  expect(spool.state().full).toBe(false);
});

it('gives its directory back though the last sync fails', async () => {
  const { open } = await openPlace();
  const spool = await open();
  disk.isRefusing = true;
  spool.emit(event);
  await spool[Symbol.asyncDispose]();
  disk.isRefusing = false;
  await using again = await open();
  expect(again.state().full).toBe(false);
});
