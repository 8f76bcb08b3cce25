import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';

import { systemClock } from '../src/clock/clock.js';
import { decodeAuditRecord, topics } from '../src/event-log/event-log.js';
import { createId } from '../src/ids/ids.js';
import { openSpool } from '../src/spool/spool.js';
import { createMemoryEventLog, MemoryBroker } from '../src/testing/testing.js';

const run = promisify(execFile);

/** A file system of 5 MiB of its own; undefined where this process may not mount one. */
async function mountSmallDisk(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-disk-'));
  onTestFinished(async () => rm(folder, { recursive: true, force: true }));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=5m', 'tmpfs', folder]);
  } catch {
    return undefined;
  }
  onTestFinished(async () => void (await run('umount', [folder])));
  return folder;
}

it('on a disk that is really full: strict is refused, ends are still written, one note says what was lost', async ({
  skip,
}) => {
  const disk = await mountSmallDisk();
  if (disk === undefined) return skip('mounting a small disk needs root');
  const broker = new MemoryBroker();
  broker.isAway = true;
  const spool = await openSpool({
    dir: join(disk, 'spool'),
    eventLog: createMemoryEventLog(broker),
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    cluster: 'home',
    replicaId: 'srv_1',
    limits: { eventSegmentBytes: 200_000 },
  });
  const event = (type: string) => ({
    type,
    outcome: 'success' as const,
    data: { text: 'x'.repeat(100) },
  });
  const journal = spool.session({
    sessionId: createId('ses'),
    actor: { kind: 'user', name: 'alice' },
  });
  const strict = spool.session({
    sessionId: createId('ses'),
    actor: { kind: 'user', name: 'bob' },
    strict: true,
  });
  journal.append(event('session.started'));
  strict.append(event('session.started'));
  for (let count = 0; count < 20_000; count += 1) journal.append(event('some.event'));
  expect(spool.state()).toMatchObject({ full: true });
  const { lost } = spool.state();
  expect(lost).toBeGreaterThan(1000);
  expect(() => strict.append(event('some.event'))).toThrow(
    expect.objectContaining({ code: 'SPOOL_FULL' }),
  );
  strict.end('audit_unavailable');
  journal.end('client_left');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(spool.state().full, 'it has not been freed').toBe(true);
  broker.isAway = false;
  await expect.poll(() => spool.state().full, { timeout: 10_000 }).toBe(false);
  await spool.flushed(AbortSignal.timeout(10_000));
  await spool[Symbol.asyncDispose]();
  const events = broker.records(topics.audit).map(decodeAuditRecord);
  expect(
    events.filter((one) => one.type === 'audit.events_lost').map((one) => one.data['count']),
  ).toEqual([lost]);
  expect(events.filter((one) => one.type === 'session.ended').map((one) => one.sequence)).toEqual([
    2, 20_002,
  ]);
});
