import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';

import { systemClock } from '../clock/clock.js';
import { GatehouseError } from '../errors/errors.js';
import { eventLogError } from '../event-log/errors.js';
import {
  decodeAuditRecord,
  decodeChunkRecord,
  topics,
  type AuditEvent,
  type EventLog,
} from '../event-log/event-log.js';
import { createId } from '../ids/ids.js';
import { createMemoryEventLog, MemoryBroker } from '../testing/memory-event-log.js';
import {
  encodeJsonFrame,
  encodeTwoPartFrame,
  fileHeader,
  findFrame,
  frameKinds,
  readFrame,
  readSegment,
} from './frame.js';
import { OpenSessions } from './sessions.js';
import { recoveredEventId, openSpool, type SpoolOptions, type SessionJournal } from './spool.js';
import { spoolFuzzTargets as fuzzTargets } from './testing.js';

const actor = { kind: 'user', name: 'alice', loginId: 'lgn_1' };
const target = { kind: 'node', name: 'web-1', agent: 'agt_1' };

async function temporaryFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-spool-'));
  onTestFinished(async () => rm(dir, { recursive: true, force: true }));
  return dir;
}

function createPlace(dir: string) {
  const broker = new MemoryBroker();
  const eventLog = createMemoryEventLog(broker);
  const open = async (options: Partial<SpoolOptions> = {}) =>
    openSpool({
      dir,
      eventLog,
      clock: systemClock,
      logger: pino({ level: 'silent' }),
      cluster: 'home',
      replicaId: 'srv_1',
      flushMs: 200,
      ...options,
    });
  const events = () => broker.records(topics.audit).map(decodeAuditRecord);
  const chunks = () => broker.records(topics.recordings).map(decodeChunkRecord);
  return { broker, open, events, chunks };
}

const event = (type: string, data: Record<string, unknown> = {}) => ({
  type,
  outcome: 'success' as const,
  data,
});
const types = (events: readonly AuditEvent[]) => events.map((one) => one.type);

async function writeChunk(
  journal: SessionJournal,
  recordingId: string,
  index: number,
  content = Buffer.from(`chunk ${index}`),
): Promise<void> {
  const sha256 = createHash('sha256').update(content).digest('hex');
  await journal.chunk(recordingId, {
    index,
    fromMs: index,
    toMs: index + 1,
    recordedBytes: 5,
    content,
    sha256,
    previousSha256: '0'.repeat(64),
  });
}

describe('a session', () => {
  it('has its events published complete, in order and numbered from 1', async () => {
    const { open, events, broker } = createPlace(await temporaryFolder());
    await using spool = await open();
    const sessionId = createId('ses');
    const journal = spool.session({ sessionId, actor, target, traceId: 'trace' });
    journal.append(event('session.started', { pty: true }));
    journal.append({ ...event('session.joined'), actor: { kind: 'user', name: 'carol' } });
    journal.end('client_left', { bytesIn: 1 });
    await spool.flushed();
    expect(events()).toMatchObject([
      {
        type: 'session.started',
        sequence: 1,
        sessionId,
        cluster: 'home',
        actor,
        target,
        outcome: 'success',
        data: { pty: true },
      },
      { type: 'session.joined', sequence: 2, actor: { name: 'carol' } },
      { type: 'session.ended', sequence: 3, reason: 'client_left', data: { bytesIn: 1 } },
    ]);
    expect(events().map(({ traceId }) => traceId)).toEqual(['trace', 'trace', 'trace']);
    expect(broker.records(topics.audit)[0]).toMatchObject({
      key: sessionId,
      headers: {
        ce_type: 'com.gatehouse.session.started',
        ce_source: 'gatehouse://home/service/proxy/srv_1',
      },
    });
    expect(() => journal.append(event('late.event'))).toThrow(
      expect.objectContaining({ code: 'SPOOL_SESSION_ENDED' }),
    );
    journal.end('again');
    await spool.flushed();
    expect(events()).toHaveLength(3);
  });

  it('has one journal at a time', async () => {
    const { open } = createPlace(await temporaryFolder());
    await using spool = await open();
    const sessionId = createId('ses');
    spool.session({ sessionId, actor });
    expect(() => spool.session({ sessionId, actor })).toThrow(
      expect.objectContaining({ code: 'SPOOL_SESSION_OPEN' }),
    );
  });

  it('that was denied is not ended', async () => {
    const { open, events } = createPlace(await temporaryFolder());
    await using spool = await open();
    const journal = spool.session({ sessionId: createId('ses'), actor, target });
    journal.append({ type: 'session.denied', outcome: 'denied', reason: 'no_role', data: {} });
    journal.close();
    await spool.flushed();
    expect(types(events())).toEqual(['session.denied']);
  });

  it('gives fifty sessions at once numbers without gaps and unique ids', async () => {
    const { open, events } = createPlace(await temporaryFolder());
    await using spool = await open();
    const journals = Array.from({ length: 50 }, () =>
      spool.session({ sessionId: createId('ses'), actor, target }),
    );
    for (const journal of journals) journal.append(event('session.started'));
    for (let round = 0; round < 198; round += 1)
      for (const journal of journals) journal.append(event('ssh.command_started', { round }));
    for (const journal of journals) journal.end('client_left');
    await spool.flushed();
    const all = events();
    expect(new Set(all.map((one) => one.id)).size).toBe(10_000);
    for (const [, own] of Map.groupBy(all, (one) => one.sessionId)) {
      expect(own.map((one) => one.sequence)).toEqual(
        Array.from({ length: 200 }, (_, index) => index + 1),
      );
      expect([own[0]?.type, own.at(-1)?.type]).toEqual(['session.started', 'session.ended']);
    }
  });

  it('keeps unpublished intents out of the log and out of the numbers', async () => {
    const { open, events } = createPlace(await temporaryFolder());
    await using spool = await open();
    const journal = spool.session({ sessionId: createId('ses'), actor });
    journal.append(event('session.started'));
    journal.append({ ...event('db.statement_started'), opens: '1', published: false });
    journal.append({ ...event('db.statement_executed'), closes: '1' });
    await spool.flushed();
    expect(events().map((one) => [one.type, one.sequence])).toEqual([
      ['session.started', 1],
      ['db.statement_executed', 2],
    ]);
  });

  it('has a trimmed event followed by a note of it', async () => {
    const { open, events } = createPlace(await temporaryFolder());
    await using spool = await open();
    const journal = spool.session({
      sessionId: createId('ses'),
      actor: { kind: 'user', name: 'n'.repeat(5000) },
    });
    journal.append(event('db.statement_executed', { statement: 's'.repeat(5_000_000) }));
    journal.append(event('small.event'));
    spool.emit({
      ...event('connection.refused', { hello: '\0'.repeat(100_000) }),
      actor: { kind: 'unknown', name: 'unknown' },
    });
    await spool.flushed();
    expect(events().map((one) => [one.type, one.sequence])).toEqual([
      ['db.statement_executed', 1],
      ['audit.event_trimmed', 2],
      ['small.event', 3],
      ['connection.refused', undefined],
      ['audit.event_trimmed', undefined],
    ]);
    expect(events()[1]?.data).toMatchObject({
      eventId: events()[0]?.id,
      eventType: 'db.statement_executed',
      fields: [{ path: 'data.statement', bytes: 5_000_000 }],
    });
  });
});

describe('the event log', () => {
  it('may be away: everything arrives afterwards, once, and the state says so meanwhile', async () => {
    const { broker, open, events } = createPlace(await temporaryFolder());
    broker.isAway = true;
    await using spool = await open();
    const journal = spool.session({ sessionId: createId('ses'), actor });
    for (let count = 0; count < 1000; count += 1) journal.append(event('some.event', { count }));
    await expect.poll(() => spool.state()).toMatchObject({ degraded: true, full: false });
    expect(spool.state().events.bytes).toBeGreaterThan(100_000);
    await expect.poll(() => spool.state().events.oldestMs).toBeGreaterThan(20);
    broker.isAway = false;
    await spool.flushed(AbortSignal.timeout(10_000));
    expect(events().map((one) => one.data['count'])).toEqual(
      Array.from({ length: 1000 }, (_, index) => index),
    );
    expect(spool.state()).toMatchObject({ degraded: false, events: { bytes: 0, oldestMs: 0 } });
  });

  it('gets no send of more than 500 records or 700 KiB', async () => {
    const sends: { records: number; bytes: number }[] = [];
    const eventLog = recordingLog(async (_topic, records) => {
      sends.push({
        records: records.length,
        bytes: records.reduce((sum, record) => sum + record.value.length, 0),
      });
    });
    const { open } = createPlace(await temporaryFolder());
    await using spool = await open({ eventLog });
    const journal = spool.session({ sessionId: createId('ses'), actor });
    for (let count = 0; count < 3000; count += 1) journal.append(event('some.event', { count }));
    for (let count = 0; count < 40; count += 1)
      journal.append(event('large.event', { text: 'x'.repeat(60_000) }));
    for (let index = 0; index < 8; index += 1)
      await writeChunk(journal, 'rec_1', index, Buffer.alloc(256 * 1024));
    await spool.flushed(AbortSignal.timeout(10_000));
    expect(sends.length).toBeLessThan(40);
    expect(Math.max(...sends.map((send) => send.records))).toBeLessThanOrEqual(500);
    expect(Math.max(...sends.map((send) => send.bytes))).toBeLessThanOrEqual(700 * 1024);
  });

  it('gets what nobody waits for in batches, and the rest at once', async () => {
    const sends: string[][] = [];
    const eventLog = recordingLog(async (_topic, records) => {
      sends.push(records.map((record) => decodeAuditRecord(record).type));
    });
    const { open } = createPlace(await temporaryFolder());
    await using spool = await open({ eventLog });
    const journal = spool.session({ sessionId: createId('ses'), actor });
    for (let count = 0; count < 200; count += 1) {
      journal.append(event('some.event'));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await journal.appendAcknowledged(event('strict.event'), 5_000);
    expect(sends.flat()).toHaveLength(201);
    expect(sends.at(-1)?.at(-1)).toBe('strict.event');
    expect(sends.length).toBeLessThan(40);
  });

  it('that refuses a send as too large gets halves, and a single event shorter', async () => {
    const taken: AuditEvent[] = [];
    const eventLog = recordingLog(async (_topic, records) => {
      if (records.length > 3 || records.some((record) => record.value.length > 40_000))
        throw eventLogError('EVENT_LOG_TOO_LARGE');
      taken.push(...records.map(decodeAuditRecord));
    });
    const { open } = createPlace(await temporaryFolder());
    await using spool = await open({ eventLog });
    const journal = spool.session({ sessionId: createId('ses'), actor });
    for (let count = 0; count < 20; count += 1)
      journal.append(event('some.event', { count, text: 'x'.repeat(count === 7 ? 50_000 : 5) }));
    await spool.flushed(AbortSignal.timeout(10_000));
    expect(taken.map((one) => one.sequence)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    expect(taken[7]?.data).toMatchObject({ trimmed: [{ path: 'data.text', bytes: 50_000 }] });
  });

  it('acknowledges strict events: without it the append fails in time, and the event still arrives', async () => {
    const { broker, open, events } = createPlace(await temporaryFolder());
    await using spool = await open();
    const journal = spool.session({ sessionId: createId('ses'), actor, strict: true });
    await journal.appendAcknowledged(event('first.event'), 5000);
    expect(types(events())).toEqual(['first.event']);
    broker.isAway = true;
    await expect(journal.appendAcknowledged(event('second.event'), 50)).rejects.toMatchObject({
      code: 'SPOOL_NOT_ACKNOWLEDGED',
      publicMessage: 'audit is not available',
    });
    broker.isAway = false;
    await expect.poll(() => types(events())).toEqual(['first.event', 'second.event']);
  });
});

function recordingLog(publish: EventLog['publish']): EventLog {
  return {
    publish,
    subscribe: async () => {
      throw new Error('not used');
    },
    progress: async () => [],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

describe('a full spool', () => {
  const limits = {
    eventsBytes: 100_000,
    eventSegmentBytes: 20_000,
    recordingsBytes: 100_000,
    recordingSegmentBytes: 20_000,
  };

  it('refuses strict events, counts the others, and says how many once there is room', async () => {
    const { broker, open, events } = createPlace(await temporaryFolder());
    broker.isAway = true;
    await using spool = await open({ limits });
    const journal = spool.session({ sessionId: createId('ses'), actor });
    const strict = spool.session({ sessionId: createId('ses'), actor, strict: true });
    journal.append(event('session.started'));
    for (let count = 0; count < 1000; count += 1)
      journal.append(event('some.event', { text: 'x'.repeat(100) }));
    expect(() => strict.append(event('some.event'))).toThrow(
      expect.objectContaining({ code: 'SPOOL_FULL' }),
    );
    await expect(journal.appendAcknowledged(event('some.event'), 1000)).rejects.toMatchObject({
      code: 'SPOOL_FULL',
    });
    expect(spool.state()).toMatchObject({ full: true });
    const { lost } = spool.state();
    expect(lost).toBeGreaterThan(100);
    journal.end('client_left');
    broker.isAway = false;
    await expect.poll(() => spool.state().full).toBe(false);
    strict.append(event('after.event'));
    await spool.flushed(AbortSignal.timeout(10_000));
    const all = events();
    const notes = all.filter((one) => one.type === 'audit.events_lost');
    expect(notes).toMatchObject([{ data: { count: lost, exact: true } }]);
    const own = all.filter((one) => one.sessionId === all[0]?.sessionId);
    expect(own.at(-1)).toMatchObject({ type: 'session.ended', sequence: 1002 });
    expect(own.length + lost).toBe(1002);
    expect(all.at(-1)?.type).toBe('after.event');
  });

  it('is not reached at the cost of others: who fills it waits the longer the less room there is', async () => {
    const { broker, open } = createPlace(await temporaryFolder());
    broker.isAway = true;
    await using spool = await open({ limits });
    const mallory = { ...actor, name: 'mallory' };
    const floods = [0, 1].map(() => spool.session({ sessionId: createId('ses'), actor: mallory }));
    const journal = spool.session({ sessionId: createId('ses'), actor });
    const flood = (count: number) => {
      for (let index = 0; index < count; index += 1)
        floods[index % 2]?.append(event('some.event', { text: 'x'.repeat(100) }));
      return floods.map((one) => one.waitMs());
    };
    expect(flood(20)).toEqual([0, 0]);
    const [some = 0] = flood(80);
    expect(some).toBeGreaterThan(0);
    journal.append(event('some.event'));
    expect(journal.waitMs()).toBe(0);
    const [more = 0] = flood(80);
    expect(more).toBeGreaterThan(2 * some);
    floods[0]?.end('client_left');
    expect(floods[0]?.waitMs()).toBe(0);
  });

  it('says after a kill that events had been dropped', async () => {
    const dir = await temporaryFolder();
    const { broker, open, events } = createPlace(dir);
    broker.isAway = true;
    const spool = await open({ limits });
    for (let count = 0; count < 1000; count += 1)
      spool.emit({ ...event('some.event', { text: 'x'.repeat(100) }), actor });
    await abandon(dir, spool);
    broker.isAway = false;
    await using next = await open({ limits });
    await next.flushed(AbortSignal.timeout(10_000));
    expect(events().filter((one) => one.type === 'audit.events_lost')).toMatchObject([
      { data: { count: 1, exact: false } },
    ]);
  });

  it('refuses chunks, and takes them again when there is room', async () => {
    const { broker, open, chunks } = createPlace(await temporaryFolder());
    broker.isAway = true;
    await using spool = await open({ limits });
    const journal = spool.session({ sessionId: createId('ses'), actor });
    const recordingId = createId('rec');
    await writeChunk(journal, recordingId, 0, Buffer.alloc(90_000));
    await expect(writeChunk(journal, recordingId, 1, Buffer.alloc(20_000))).rejects.toMatchObject({
      code: 'SPOOL_FULL',
    });
    expect(spool.state()).toMatchObject({ full: true });
    broker.isAway = false;
    await expect.poll(() => spool.state().full).toBe(false);
    await writeChunk(journal, recordingId, 1);
    await spool.flushed(AbortSignal.timeout(10_000));
    expect(chunks().map((chunk) => chunk.index)).toEqual([0, 1]);
  });
});

/** Leaves a spool as a killed process would: without an orderly end, with its lock. */
async function abandon(dir: string, spool: AsyncDisposable): Promise<void> {
  const copy = `${dir}.copy`;
  mkdirSync(copy);
  for (const lane of ['events', 'recordings']) {
    mkdirSync(join(copy, lane));
    for (const name of readdirSync(join(dir, lane)))
      writeFileSync(join(copy, lane, name), readFileSync(join(dir, lane, name)));
  }
  await spool[Symbol.asyncDispose]();
  for (const lane of ['events', 'recordings']) {
    rmSync(join(dir, lane), { recursive: true });
    mkdirSync(join(dir, lane));
    for (const name of readdirSync(join(copy, lane)))
      writeFileSync(join(dir, lane, name), readFileSync(join(copy, lane, name)));
  }
  rmSync(copy, { recursive: true });
}

describe('recovery', () => {
  it('does not end again what had ended', () => {
    const sessions = new OpenSessions();
    const sessionId = createId('ses');
    const replay = (bytes: Buffer) => {
      const frame = readFrame(bytes, 0);
      if (typeof frame === 'string') throw new Error(frame);
      sessions.replay(frame);
    };
    replay(encodeJsonFrame(frameKinds.sessionOpened, 1, { sessionId, actor }));
    expect(sessions.all()).toHaveLength(1);
    replay(encodeTwoPartFrame(frameKinds.sessionClosed, 2, { head: '', rest: sessionId }));
    expect(sessions.all()).toEqual([]);
  });

  it('completes intents, recordings and sessions with ids that are always the same', async () => {
    const dir = await temporaryFolder();
    const { open, events } = createPlace(dir);
    const spool = await open();
    const sessionId = createId('ses');
    const recordingId = createId('rec');
    const header = { sessionId, actor, target, protocol: 'ssh', traceId: 'trace' };
    const journal = spool.session(header);
    journal.append(event('session.started'));
    journal.append({ ...event('ssh.command_started', { command: 'make' }), opens: 'c1' });
    journal.append({
      ...event('db.statement_started', { class: 'select' }),
      opens: 'c2',
      published: false,
    });
    await writeChunk(journal, recordingId, 0);
    await writeChunk(journal, recordingId, 1);
    const denied = spool.session({ sessionId: createId('ses'), actor });
    denied.append({ type: 'session.denied', outcome: 'denied', data: {} });
    await spool.flushed();
    await abandon(dir, spool);
    await using next = await open();
    await next.flushed(AbortSignal.timeout(5000));
    const own = events().filter((one) => one.sessionId === sessionId);
    const distinct = [...new Map(own.map((one) => [one.id, one])).values()];
    expect(distinct).toMatchObject([
      { type: 'session.started', sequence: 1 },
      { type: 'ssh.command_started', sequence: 2 },
      {
        type: 'ssh.command_ended',
        sequence: 3,
        outcome: 'failure',
        reason: 'proxy_lost',
        data: { command: 'make' },
        target,
      },
      {
        type: 'db.statement_executed',
        sequence: 4,
        reason: 'proxy_lost',
        data: { class: 'select' },
      },
      {
        type: 'recording.completed',
        sequence: 5,
        data: { recordingId, chunks: 2, bytes: 10, durationMs: 2 },
      },
      {
        id: recoveredEventId(sessionId, 'session.ended'),
        type: 'session.ended',
        sequence: 6,
        reason: 'proxy_lost',
      },
    ]);
    expect(distinct).toHaveLength(6);
    expect(new Set(distinct.map(({ traceId }) => traceId))).toEqual(new Set(['trace']));
    expect(
      types(events().filter((one) => one.sessionId !== sessionId)).filter(
        (type) => type !== 'session.denied',
      ),
    ).toEqual([]);
  });

  it('publishes nothing again that was acknowledged before an orderly end', async () => {
    const { open, events } = createPlace(await temporaryFolder());
    {
      await using spool = await open();
      spool.emit({ ...event('some.event'), actor });
      await spool.flushed();
    }
    await using again = await open();
    again.emit({ ...event('other.event'), actor });
    await again.flushed();
    expect(types(events())).toEqual(['some.event', 'other.event']);
  });

  it('keeps what is left at an orderly end for the next start', async () => {
    const { broker, open, events } = createPlace(await temporaryFolder());
    broker.isAway = true;
    {
      await using spool = await open();
      spool.emit({ ...event('some.event'), actor });
    }
    broker.isAway = false;
    await using again = await open();
    await again.flushed(AbortSignal.timeout(5000));
    expect(types(events())).toEqual(['some.event']);
  });

  it('cuts a torn end and loses nothing before it', async () => {
    const dir = await temporaryFolder();
    const { broker, open, events } = createPlace(dir);
    broker.isAway = true;
    const spool = await open();
    for (let count = 0; count < 10; count += 1)
      spool.emit({ ...event('some.event', { count }), actor });
    await spool[Symbol.asyncDispose]();
    const file = join(dir, 'events', '0000000000000001.seg');
    const content = readFileSync(file);
    writeFileSync(file, content.subarray(0, content.length - 7));
    broker.isAway = false;
    await using next = await open();
    next.emit({ ...event('next.event'), actor });
    await next.flushed(AbortSignal.timeout(5000));
    expect(events().map((one) => one.data['count'])).toEqual([
      0,
      1,
      2,
      3,
      4,
      5,
      6,
      7,
      8,
      undefined,
    ]);
    expect(next.state().lost).toBe(0);
  });

  it('passes damage in the middle, publishes the rest and says that something was lost', async () => {
    const dir = await temporaryFolder();
    const { broker, open, events } = createPlace(dir);
    broker.isAway = true;
    const spool = await open();
    for (let count = 0; count < 10; count += 1)
      spool.emit({ ...event('some.event', { count }), actor });
    await spool[Symbol.asyncDispose]();
    const file = join(dir, 'events', '0000000000000001.seg');
    const content = readFileSync(file);
    const at = content.indexOf('"count":4');
    content.fill(0xff, at, at + 4);
    writeFileSync(file, content);
    broker.isAway = false;
    await using next = await open();
    await next.flushed(AbortSignal.timeout(5000));
    await expect.poll(() => types(events())).toContain('audit.events_lost');
    expect(
      events().flatMap((one) => (one.type === 'some.event' ? [one.data['count']] : [])),
    ).toEqual([0, 1, 2, 3, 5, 6, 7, 8, 9]);
  });
});

describe('the lock', () => {
  it('keeps a second owner out while the first one lives', async () => {
    const { open } = createPlace(await temporaryFolder());
    await using _spool = await open();
    await expect(open()).rejects.toMatchObject({
      code: 'SPOOL_IN_USE',
      details: { pid: String(process.pid) },
    });
  });

  it.each([
    ['a process that is gone', { pid: 999_999_999, started: '1', boot: 'x' }],
    ['an earlier process with the same id', { pid: process.pid, started: '1', boot: 'x' }],
    ['nobody, half written', '{"pid": 1'],
  ])('is taken over from %s', async (_who, owner) => {
    const dir = await temporaryFolder();
    writeFileSync(join(dir, 'lock'), typeof owner === 'string' ? owner : JSON.stringify(owner));
    const { open } = createPlace(dir);
    {
      await using _spool = await open();
      expect(readFileSync(join(dir, 'lock'), 'utf8')).toContain(`"pid":${process.pid}`);
    }
    expect(existsSync(join(dir, 'lock'))).toBe(false);
  });
});

describe('speed', () => {
  it('appends tens of thousands of events a second', async () => {
    const { broker, open } = createPlace(await temporaryFolder());
    broker.isAway = true;
    await using spool = await open();
    const journal = spool.session({ sessionId: createId('ses'), actor, target });
    const append = (count: number) => {
      for (let index = 0; index < count; index += 1)
        journal.append(event('ssh.command_started', { command: 'ls -l /tmp', index }));
    };
    append(5000);
    const start = performance.now();
    append(30_000);
    const perSecond = Math.round(30_000 / ((performance.now() - start) / 1000));
    expect(perSecond).toBeGreaterThan(5000);
  });
});

describe('the reader', () => {
  it.each(fuzzTargets)(
    '$name: throws nothing but GatehouseError, whatever it reads',
    (fuzzTarget) => {
      const anything = fc.oneof(
        fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.concat([fileHeader, bytes])),
        damagedSeed(fuzzTarget.seeds),
      );
      fc.assert(
        fc.property(anything, (input) => {
          try {
            fuzzTarget.run(Buffer.from(input));
          } catch (thrown) {
            if (!(thrown instanceof GatehouseError)) throw thrown;
          }
        }),
        { numRuns: 2000 },
      );
    },
  );

  it('finds every frame behind damage', () => {
    const whole = fuzzTargets[0]!.seeds[0]!;
    const { frames } = readSegment(whole)!;
    for (let at = 0; at < frames.length - 1; at += 1) {
      const damaged = Buffer.from(whole);
      const start = at === 0 ? fileHeader.length : frames[at - 1]!.end;
      damaged.fill(0xa5, start + 2, start + 12);
      expect(readSegment(damaged)).toMatchObject({ damaged: 1, validBytes: whole.length });
      expect(readSegment(damaged)?.frames).toHaveLength(frames.length - 1);
      expect(findFrame(damaged, start + 1)).toBe(frames[at]!.end);
    }
  });
});

function damagedSeed(seeds: readonly Buffer[]): fc.Arbitrary<Buffer> {
  return fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
      fc.nat(),
    )
    .map(([seed, changes, length]) => {
      const copy = Buffer.from(seed);
      for (const [at, value] of changes) copy[at % copy.length] = value;
      return copy.subarray(0, length % (copy.length + 1));
    });
}
