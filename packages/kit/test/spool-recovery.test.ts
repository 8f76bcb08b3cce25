import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';

import { systemClock } from '../src/clock/clock.js';
import {
  decodeAuditRecord,
  decodeChunkRecord,
  topics,
  type AuditEvent,
  type ChunkRecord,
} from '../src/event-log/event-log.js';
import { createId } from '../src/ids/ids.js';
import { openSpool } from '../src/spool/spool.js';
import { createMemoryEventLog, MemoryBroker } from '../src/testing/testing.js';

interface Returned {
  readonly idle?: string;
  readonly sessionId: string;
  readonly sequence?: number;
  readonly type?: string;
  readonly recordingId?: string;
  readonly index?: number;
}

async function temporaryFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-spool-'));
  onTestFinished(async () => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function runAndKill(dir: string, mode: string, afterMs: number): Promise<void> {
  const script = fileURLToPath(new URL('spool/appender.ts', import.meta.url));
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', script, dir, mode],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exit = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exit]);
  await sleep(afterMs);
  child.kill('SIGKILL');
  const [, signal] = (await exit) as [number | null, string | null];
  expect(signal, 'the appender ended by itself').toBe('SIGKILL');
}

function lines<T>(path: string): T[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T);
}

/** Everything that reached an event log: that of the killed process, then that of the one which recovered. */
async function recover(dir: string): Promise<{ events: AuditEvent[]; chunks: ChunkRecord[] }> {
  const broker = new MemoryBroker();
  const log = createMemoryEventLog(broker);
  const spool = await openSpool({
    dir: join(dir, 'spool'),
    eventLog: log,
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    cluster: 'home',
    replicaId: createId('srv'),
  });
  await spool.flushed(AbortSignal.timeout(20_000));
  expect(spool.state()).toMatchObject({
    events: { bytes: 0, oldestMs: 0 },
    recordings: { bytes: 0 },
    full: false,
    lost: 0,
  });
  await spool[Symbol.asyncDispose]();
  const before = lines<{
    topic: string;
    key: string;
    headers: Record<string, string>;
    value: string;
  }>(join(dir, 'published')).map((record) => ({
    ...record,
    value: Buffer.from(record.value, 'base64'),
  }));
  const of = (topic: string) => [
    ...before.filter((record) => record.topic === topic),
    ...broker.records(topic),
  ];
  const events = new Map(
    of(topics.audit)
      .map(decodeAuditRecord)
      .map((event) => [event.id, event]),
  );
  const chunks = new Map(
    of(topics.recordings)
      .map(decodeChunkRecord)
      .map((chunk) => [`${chunk.recordingId} ${chunk.index}`, chunk]),
  );
  return { events: [...events.values()], chunks: [...chunks.values()] };
}

function checkSession(events: AuditEvent[], sessionId: string): void {
  const own = events
    .filter((event) => event.sessionId === sessionId)
    .toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0));
  expect(own.map((event) => event.sequence)).toEqual(own.map((_event, index) => index + 1));
  expect(own[0]?.type).toBe('session.started');
  expect(own.filter((event) => event.type === 'session.ended')).toHaveLength(1);
  expect(own.at(-1)?.type).toBe('session.ended');
  const count = (type: string) => own.filter((event) => event.type === type).length;
  expect(count('ssh.command_started')).toBe(count('ssh.command_ended'));
}

function checkRecordings(events: AuditEvent[], chunks: ChunkRecord[]): void {
  for (const recordingId of new Set(chunks.map((chunk) => chunk.recordingId))) {
    const own = chunks
      .filter((chunk) => chunk.recordingId === recordingId)
      .toSorted((a, b) => a.index - b.index);
    expect(own.map((chunk) => chunk.index)).toEqual(own.map((_chunk, index) => index));
    own.reduce((before, chunk) => {
      expect(chunk.previousSha256).toBe(before);
      return chunk.sha256;
    }, '0'.repeat(64));
    const completed = events.filter(
      (event) => event.type === 'recording.completed' && event.data['recordingId'] === recordingId,
    );
    const isOrderly = events.some(
      (event) => event.sessionId === own[0]?.sessionId && event.reason === 'client_left',
    );
    if (!isOrderly)
      expect(completed).toMatchObject([
        { reason: 'proxy_lost', data: { chunks: own.length, head: own.at(-1)?.sha256 } },
      ]);
  }
}

describe('after kill -9 at any moment', () => {
  it.each(
    Array.from(
      { length: 20 },
      (_, round) => [round, round % 4 === 3 ? 'no broker' : 'broker'] as const,
    ),
  )(
    'round %i (%s): what append() returned for is there, numbers have no gap, each session ends once',
    async (round, mode) => {
      const dir = await temporaryFolder();
      await runAndKill(dir, mode, 20 + Math.random() * 60 * (1 + (round % 5)));
      const returned = lines<Returned>(join(dir, 'returned'));
      expect(returned.length).toBeGreaterThan(3);
      const { events, chunks } = await recover(dir);
      const seen = new Set(
        events.map((event) => `${event.sessionId} ${event.sequence} ${event.type}`),
      );
      const missing = returned.filter(
        (one) =>
          one.type !== undefined && !seen.has(`${one.sessionId} ${one.sequence} ${one.type}`),
      );
      expect(missing).toEqual([]);
      const seenChunks = new Set(chunks.map((chunk) => `${chunk.recordingId} ${chunk.index}`));
      expect(
        returned.filter(
          (one) =>
            one.recordingId !== undefined && !seenChunks.has(`${one.recordingId} ${one.index}`),
        ),
      ).toEqual([]);
      for (const sessionId of new Set(events.flatMap((event) => event.sessionId ?? [])))
        checkSession(events, sessionId);
      checkRecordings(events, chunks);
      // The session that was idle from the beginning is known, although its own segment was acknowledged and deleted.
      const idle = returned.find((one) => one.idle !== undefined)?.idle;
      expect(events.filter((event) => event.sessionId === idle).map((event) => event.type)).toEqual(
        ['session.started', 'session.ended'],
      );
    },
  );

  it('a kill during recovery, again and again, changes nothing', async () => {
    const dir = await temporaryFolder();
    for (let round = 0; round < 4; round += 1) await runAndKill(dir, 'broker', Math.random() * 80);
    const { events, chunks } = await recover(dir);
    for (const sessionId of new Set(events.flatMap((event) => event.sessionId ?? [])))
      checkSession(events, sessionId);
    checkRecordings(events, chunks);
    expect(new Set(events.map((event) => event.sessionId)).size).toBeGreaterThanOrEqual(16);
  });

  it('segments that were acknowledged are gone', async () => {
    const dir = await temporaryFolder();
    await runAndKill(dir, 'broker', 600);
    const numbers = readdirSync(join(dir, 'spool', 'events'))
      .filter((name) => name.endsWith('.seg'))
      .toSorted();
    expect(Number(numbers[0]?.slice(0, 16))).toBeGreaterThan(1);
    await recover(dir);
    expect(
      readdirSync(join(dir, 'spool', 'events')).filter((name) => name.endsWith('.seg')).length,
    ).toBeLessThan(numbers.length + 1);
  });
});
