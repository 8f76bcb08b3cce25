/**
 * A process that appends to a spool until it is killed, for spool-recovery.test.ts. It notes each append that returned
 * in `returned`, and its event log keeps what it acknowledged in `published`, so that both can be compared afterwards.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { pino } from 'pino';

import { systemClock } from '../../src/clock/clock.js';
import type { EventLog } from '../../src/event-log/event-log.js';
import { createId } from '../../src/ids/ids.js';
import { openSpool, type SessionJournal } from '../../src/spool/spool.js';

const [dir = '', mode = 'broker'] = process.argv.slice(2);
const returned = openSync(join(dir, 'returned'), 'a');

const eventLog: EventLog = {
  publish: async (topic, records) => {
    await sleep(5);
    if (mode === 'no broker') throw new Error('away');
    const lines = records.map(
      (record) =>
        `${JSON.stringify({ topic, ...record, value: record.value.toString('base64') })}\n`,
    );
    appendFileSync(join(dir, 'published'), lines.join(''));
  },
  subscribe: async () => {
    throw new Error('not here');
  },
  progress: async () => [],
  [Symbol.asyncDispose]: async () => undefined,
};

const spool = await openSpool({
  dir: join(dir, 'spool'),
  eventLog,
  clock: systemClock,
  logger: pino({ level: 'silent' }),
  cluster: 'home',
  replicaId: createId('srv'),
  limits: { eventSegmentBytes: 64 * 1024, recordingSegmentBytes: 64 * 1024 },
});

function note(line: unknown): void {
  writeSync(returned, `${JSON.stringify(line)}\n`);
}

interface Running {
  readonly sessionId: string;
  readonly journal: SessionJournal;
  sequence: number;
  chunks: number;
  readonly recordingId: string;
  head: string;
  openIntent?: string;
}

function start(): Running {
  const sessionId = createId('ses');
  const journal = spool.session({
    sessionId,
    actor: { kind: 'user', name: 'alice' },
    target: { kind: 'node', name: 'web-1' },
  });
  const running = {
    sessionId,
    journal,
    sequence: 0,
    chunks: 0,
    recordingId: createId('rec'),
    head: '0'.repeat(64),
  };
  append(running, { type: 'session.started' });
  return running;
}

function append(running: Running, event: { type: string; opens?: string; closes?: string }): void {
  running.journal.append({
    ...event,
    outcome: 'success',
    data: { text: 'x'.repeat(Math.floor(Math.random() * 400)) },
  });
  running.sequence += 1;
  note({
    sessionId: running.sessionId,
    sequence: running.sequence,
    type: event.type,
    closes: event.closes,
  });
}

async function chunk(running: Running): Promise<void> {
  const content = gzipSync(`chunk ${running.chunks}`);
  const sha256 = createHash('sha256').update(content).digest('hex');
  const times = { fromMs: running.chunks, toMs: running.chunks + 1 };
  await running.journal.chunk(running.recordingId, {
    index: running.chunks,
    ...times,
    recordedBytes: 8,
    content,
    sha256,
    previousSha256: running.head,
  });
  note({ recordingId: running.recordingId, index: running.chunks, sessionId: running.sessionId });
  running.head = sha256;
  running.chunks += 1;
}

const sessions = [start(), start(), start()];
const idle = start();
note({ idle: idle.sessionId });
process.stdout.write('running\n');
for (let round = 0; ; round += 1) {
  for (const [index, running] of sessions.entries()) {
    const intent = `i${round}`;
    append(running, { type: 'ssh.command_started', opens: intent });
    if (round % 3 === 0) await chunk(running);
    append(running, { type: 'ssh.command_ended', closes: intent });
    if (round % 50 === 49 && index === round % sessions.length) {
      running.journal.end('client_left');
      note({ sessionId: running.sessionId, sequence: running.sequence + 1, type: 'session.ended' });
      sessions[index] = start();
    }
  }
  if (round % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
}
