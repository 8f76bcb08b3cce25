import { sql } from 'kysely';
import { pino } from 'pino';
import { expect, it } from 'vitest';

import { systemClock } from '../src/clock/clock.js';
import { describeEventLog } from '../src/event-log/conformance.js';
import { createEmbeddedEventLog, topics } from '../src/event-log/event-log.js';
import { createMemoryEventLog, createTestDatabase, MemoryBroker } from '../src/testing/testing.js';

describeEventLog('the embedded database', async () => {
  const test = await createTestDatabase();
  let count = 0;
  return {
    open: async () =>
      createEmbeddedEventLog({
        database: test.database,
        clock: systemClock,
        logger: pino({ level: 'silent' }),
      }),
    newTopic: async () => `topic.${(count += 1)}`,
    [Symbol.asyncDispose]: async () => test[Symbol.asyncDispose](),
  };
});

describeEventLog('memory', async () => {
  const broker = new MemoryBroker();
  let count = 0;
  return {
    open: async () => createMemoryEventLog(broker),
    newTopic: async () => `topic.${(count += 1)}`,
    [Symbol.asyncDispose]: async () => undefined,
  };
});

it('the embedded database forgets what every group has read, when its time is over', async () => {
  await using test = await createTestDatabase();
  let nowMs = 0;
  await using log = await createEmbeddedEventLog({
    database: test.database,
    clock: { ...systemClock, now: () => nowMs },
    logger: pino({ level: 'silent' }),
    pruneEveryMs: 50,
  });
  const count = async (topic: string) => {
    const { rows } = await sql`select 1 from event_log_record where topic = ${topic}`.execute(
      test.database,
    );
    return rows.length;
  };
  const record = { key: 'k', headers: {}, value: Buffer.from('v') };
  for (const topic of [topics.recordings, topics.audit])
    await log.publish(
      topic,
      Array.from({ length: 250 }, () => record),
    );
  let read = 0;
  await using _reader = await log.subscribe({
    topic: topics.recordings,
    group: 'store',
    onBatch: async (records) => void (read += records.length),
  });
  await expect.poll(() => read).toBe(250);
  nowMs = 2 * 24 * 3_600_000;
  await log.publish(topics.recordings, [record]);
  await expect.poll(() => read).toBe(251);
  nowMs = 4 * 24 * 3_600_000;
  await expect.poll(async () => count(topics.recordings)).toBe(1);
  nowMs = 8 * 24 * 3_600_000;
  await expect.poll(async () => count(topics.recordings)).toBe(0);
  expect(await count(topics.audit)).toBe(250);
});

it('the embedded database says that it fails for as long as it can not be asked', async () => {
  await using test = await createTestDatabase();
  await using log = await createEmbeddedEventLog({
    database: test.database,
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    pollMs: 20,
  });
  await using reader = await log.subscribe({
    topic: topics.audit,
    group: 'store',
    onBatch: async () => undefined,
  });
  await sql`alter table event_log_record rename to away`.execute(test.database);
  await expect.poll(() => reader.isFailing()).toBe(true);
  await sql`alter table away rename to event_log_record`.execute(test.database);
  await expect.poll(() => reader.isFailing()).toBe(false);
});
