/** What another producer may put on our topics: it must hold up nobody who reads them. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';

import { CompressionTypes, Kafka, logLevel, type Message } from 'kafkajs';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';

import { systemClock } from '../src/clock/clock.js';
import type { StoredRecord } from '../src/event-log/event-log.js';
import { createKafkaEventLog, createKafkaTopics } from '../src/event-log/kafka/kafka.js';
import { createLogger } from '../src/log/log.js';
import { startTestKafka, type TestKafka } from '../src/testing/test-kafka.js';

const logger = createLogger({ name: 'test', level: 'silent' });
const wait = { timeout: 60_000, interval: 50 };

let kafka: TestKafka;
beforeAll(async () => {
  kafka = await startTestKafka();
}, 180_000);
afterAll(async () => kafka?.[Symbol.asyncDispose]());

/** A topic of ours, and what a reader has got of it so far. */
async function openTopic() {
  const connection = { brokers: [kafka.address], clientId: 'test', logger };
  const topic = `t-${randomUUID()}`;
  await createKafkaTopics(connection, [
    { topic, partitions: 1, replicas: 1, retentionMs: 3_600_000 },
  ]);
  const log = createKafkaEventLog({ ...connection, clock: systemClock });
  const seen: StoredRecord[] = [];
  await log.subscribe({
    topic,
    group: 'g',
    onBatch: async (records) => void seen.push(...records),
  });
  onTestFinished(async () => log[Symbol.asyncDispose]());
  return {
    seen,
    texts: () => seen.map(({ value }) => value.toString()),
    /** Writes one record as kcat does. */
    write: async (value: string, ...flags: readonly string[]) => {
      const written = promisify(execFile)('kcat', [
        '-b',
        kafka.address,
        '-P',
        '-t',
        topic,
        ...flags,
      ]);
      written.child.stdin?.end(value);
      await written;
    },
    send: async (message: Message, compression = CompressionTypes.None) => {
      const client = new Kafka({ brokers: [kafka.address], logLevel: logLevel.NOTHING });
      const producer = client.producer({ allowAutoTopicCreation: false, retry: { retries: 0 } });
      await producer.connect();
      try {
        await producer.send({ topic, compression, messages: [message] });
      } finally {
        await producer.disconnect();
      }
    },
  };
}

it('reads what was compressed, however it was', async () => {
  const { texts, write } = await openTopic();
  const codecs = ['gzip', 'snappy', 'lz4', 'zstd'];
  // What would grow is sent as it is.
  const textOf = (codec: string) => codec.repeat(1_000);
  for (const codec of codecs) await write(textOf(codec), '-z', codec);
  await expect.poll(texts, wait).toEqual(codecs.map(textOf));
}, 120_000);

it('reads headers that have no value, twice the same, and a hundred thousand of them', async () => {
  const { seen, texts, write, send } = await openTopic();
  await write('bare', '-H', 'bare', '-H', 'twice=a', '-H', 'twice=b');
  const headers = Object.fromEntries(
    Array.from({ length: 100_000 }, (_, index) => [index.toString(36), '']),
  );
  await send({ value: 'many', headers });
  await expect.poll(texts, wait).toEqual(['bare', 'many']);
  expect(seen[0]?.headers).toEqual({ bare: '', twice: 'a' });
  expect(Object.keys(seen[1]?.headers ?? {})).toHaveLength(100_000);
}, 120_000);

it('is never given what unfolds to more than a batch', async () => {
  const { texts, write, send } = await openTopic();
  const bomb = { value: Buffer.alloc(32 << 20) };
  await expect(send(bomb, CompressionTypes.GZIP)).rejects.toMatchObject({
    type: expect.stringMatching(/TOO_LARGE/) as string,
  });
  await write('behind');
  await expect.poll(texts, wait).toEqual(['behind']);
}, 120_000);
