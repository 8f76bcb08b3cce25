/** What the audit has, all of it: the store as its database holds it, and the topic as an outsider reads it. */
import type { AuditEvent } from '@gatehouse/kit/event-log';
import { createDatabase } from '@gatehouse/kit/postgres';
import { sql } from 'kysely';

import type { Cluster } from './cluster.js';
import type { Attempt } from './load.js';
import { eventually } from './run.js';
import { readAuditTopic } from './topic.js';

export interface Ledger {
  readonly stored: readonly AuditEvent[];
  /** Repeats left out. */
  readonly topic: readonly AuditEvent[];
  /** Messages on the topic that repeat an id. */
  readonly repeats: number;
}

export async function readStored({ postgres }: Cluster): Promise<AuditEvent[]> {
  const url = postgres.url.replace(/\/[^/]*$/, '/gatehouse_audit');
  const database = createDatabase<Record<string, never>>({ url });
  try {
    const { rows } = await sql<{ event: string }>`select event from audit_event`.execute(database);
    return rows.map(({ event }) => JSON.parse(event) as AuditEvent);
  } finally {
    await database.destroy();
  }
}

/** Waits until the store has what the topic has and every session has ended, at most `timeoutMs`; then gives what there is. */
export async function readLedger(cluster: Cluster, timeoutMs = 120_000): Promise<Ledger> {
  await using reader = await readAuditTopic(cluster.kafka.address);
  const read = async (): Promise<Ledger> => {
    const ids = new Map(reader.events.map((event) => [event.id, event]));
    return {
      stored: await readStored(cluster),
      topic: [...ids.values()],
      repeats: reader.events.length - ids.size,
    };
  };
  let ledger = await read();
  await eventually(
    'store and topic to be the same',
    async () => {
      ledger = await read();
      return compare(ledger).length === 0 && openSessions(ledger.stored).length === 0;
    },
    timeoutMs,
  ).catch(() => undefined);
  return ledger;
}

/** What is wrong with it, in words; nothing where all is well. */
export function findFaults(ledger: Ledger, attempts: readonly Attempt[]): string[] {
  return [
    ...compare(ledger),
    ...openSessions(ledger.stored).map((id) => `session ${id} has no end`),
    ...gaps(ledger.stored),
    ...missingMarks(ledger.stored, attempts),
  ];
}

function compare({ stored, topic }: Ledger): string[] {
  const [inStore, onTopic] = [stored, topic].map((events) => new Set(events.map(({ id }) => id)));
  return [
    ...topic.filter(({ id }) => !inStore?.has(id)).map((one) => `not stored: ${describe(one)}`),
    ...stored
      .filter(({ id }) => !onTopic?.has(id))
      .map((one) => `not on the topic: ${describe(one)}`),
    ...(stored.length === inStore?.size ? [] : [`${stored.length - (inStore?.size ?? 0)} doubled`]),
  ];
}

function openSessions(events: readonly AuditEvent[]): string[] {
  const of = (type: string) =>
    events.filter((event) => event.type === type).map(({ sessionId = '' }) => sessionId);
  const ended = new Set(of('session.ended'));
  return of('session.started').filter((id) => !ended.has(id));
}

/** Sessions whose numbers are not 1..n, or whose end is not last or not one. */
function gaps(events: readonly AuditEvent[]): string[] {
  const sessions = Map.groupBy(
    events.filter(({ sequence }) => sequence !== undefined),
    ({ sessionId = '' }) => sessionId,
  );
  return [...sessions].flatMap(([id, own]) => {
    // It never began.
    if (own.every(({ type }) => type === 'session.connect_failed')) return [];
    const inOrder = own.toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0));
    const isWhole = inOrder.every(({ sequence }, index) => sequence === index + 1);
    const ends = inOrder.filter(({ type }) => type === 'session.ended').length;
    const isEnded = ends === 1 && inOrder.at(-1)?.type === 'session.ended';
    return isWhole && isEnded
      ? []
      : [`session ${id}: ${inOrder.map(({ sequence, type }) => `${sequence} ${type}`).join(', ')}`];
  });
}

/** Commands whose mark came back without an event that has it. */
function missingMarks(events: readonly AuditEvent[], attempts: readonly Attempt[]): string[] {
  const commands = new Set(
    events
      .filter(({ type }) => type === 'ssh.command_started')
      .flatMap(({ data }) => /mark-[0-9a-f]{8}-\d+/.exec(String(data['command']))?.[0] ?? []),
  );
  return attempts
    .filter(({ failure, mark }) => failure === undefined && !commands.has(mark))
    .map(({ mark }) => `no event of ${mark}`);
}

function describe({ id, type, sessionId = '', sequence = 0 }: AuditEvent): string {
  return `${id} ${type} ${sessionId} ${sequence}`;
}
