import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { systemClock } from '@gatehouse/kit/clock';
import { decodeAuditRecord, topics, type AuditEvent } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createRpcConnection } from '@gatehouse/kit/rpc';
import { openSpool } from '@gatehouse/kit/spool';
import { createMemoryEventLog, MemoryBroker } from '@gatehouse/kit/testing';
import type { EventTable, Session } from '@gatehouse/protocol-api';
import { protocolEvents } from '@gatehouse/protocol-registry/events';
import { expect, it, onTestFinished } from 'vitest';

import { events } from '../events.js';
import { createTestHost, testLogger } from './testing.js';

const definitions: EventTable = { ...events, ...protocolEvents['ssh'] };

const commandStarted = {
  type: 'ssh.command_started',
  outcome: 'success',
  data: { channel: 0, kind: 'shell', command: null, pty: true },
} as const;
const forwardOpened = {
  type: 'ssh.forward_opened',
  outcome: 'success',
  data: { kind: 'local', host: '127.0.0.1', port: 80 },
} as const;

const never = async (): Promise<never> => new Promise<never>(() => undefined);

/** A session with everything in it that a recovery completes, and a command that failed. */
async function serve(session: Session): Promise<never> {
  session.established();
  session.record({ columns: 80, rows: 24 }).output(Buffer.from('$ '));
  await session
    .perform(commandStarted, async () => Promise.reject(new Error('broken')))
    .catch(() => undefined);
  await Promise.all([
    session.perform(commandStarted, never),
    session.perform(forwardOpened, never),
  ]);
  return never();
}

/** What the next owner of a spool publishes if its first one dies now. */
async function recoverCopy(dir: string): Promise<AuditEvent[]> {
  const copy = mkdtempSync(join(tmpdir(), 'recovery-'));
  onTestFinished(() => rmSync(copy, { recursive: true, force: true }));
  cpSync(dir, copy, { recursive: true, filter: (path) => !path.endsWith('lock') });
  const broker = new MemoryBroker();
  await using spool = await openSpool({
    dir: copy,
    eventLog: createMemoryEventLog(broker),
    clock: systemClock,
    logger: testLogger,
    cluster: 'test',
    replicaId: createId('srv'),
  });
  await spool.flushed(AbortSignal.timeout(10_000));
  return broker.records(topics.audit).map(decodeAuditRecord);
}

it('writes for a lost session only events that fit their definitions', async () => {
  const auth = createRpcConnection({
    address: '127.0.0.1:1',
    tls: { serverCa: undefined },
    serverName: 'auth',
    verifyServer: () => undefined,
    timeoutMs: 100,
  });
  onTestFinished(() => auth[Symbol.dispose]());
  await using host = await createTestHost({ auth, serve });
  host.connect();
  await expect.poll(() => host.broker.records(topics.recordings).length).toBeGreaterThan(0);
  await host.spool.flushed(AbortSignal.timeout(10_000));
  const all = [...host.events(), ...(await recoverCopy(host.dir))];
  const written = [...new Map(all.map((event) => [event.id, event])).values()];
  expect(written.map(({ type, reason }) => `${type} ${reason ?? ''}`.trim())).toEqual([
    'session.started',
    'ssh.command_started',
    'ssh.command_ended internal',
    'ssh.command_started',
    'ssh.forward_opened',
    'ssh.command_ended proxy_lost',
    'ssh.forward_opened proxy_lost',
    'recording.completed proxy_lost',
    'session.ended proxy_lost',
  ]);
  for (const { type, data } of written)
    expect(definitions[type]?.data.parse(data), type).toEqual(data);
});
