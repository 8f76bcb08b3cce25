/** Kafka over TLS: who gets in, and what the shipped ACLs let each service do (D25). */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';

import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  CompressionCodecs,
  CompressionTypes,
  Kafka,
  logLevel,
  ResourcePatternTypes,
  type AclEntry,
} from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

import { systemClock } from '../src/clock/clock.js';
import {
  createKafkaTopics,
  eventLogSchema,
  openEventLog,
  readKafkaConnection,
  topics,
  type EventLog,
  type StoredRecord,
} from '../src/event-log/event-log.js';
import { createKafkaEventLog } from '../src/event-log/kafka/kafka.js';
import { createLogger } from '../src/log/log.js';
import { startTestKafka, type SecuredKafka, type TestKafka } from '../src/testing/test-kafka.js';

const logger = createLogger({ name: 'test', level: 'silent' });
const password = 'canary-kafka-password';
const names = ['gatehouse-auth', 'gatehouse-proxy', 'gatehouse-tunnel', 'gatehouse-audit', 'siem'];

const aclSchema = z.array(
  z.strictObject({
    user: z.string(),
    create: z.array(z.string()).default([]),
    read: z.array(z.string()).default([]),
    write: z.array(z.string()).default([]),
    groups: z.string().optional(),
  }),
);

/** As an operator would add them by kafka-acls. */
async function applyShippedAcls(address: string): Promise<void> {
  const file = join(import.meta.dirname, '../../../deploy/kafka/acls.yaml');
  const rows = aclSchema.parse(parse(await readFile(file, 'utf8')));
  const { CREATE, READ, WRITE } = AclOperationTypes;
  const acl = rows.flatMap(({ user, create, read, write, groups }) => {
    const entry = (
      operation: AclOperationTypes,
      resourceType: AclResourceTypes,
      resourceName: string,
    ): AclEntry => ({
      principal: `User:${user}`,
      host: '*',
      operation,
      permissionType: AclPermissionTypes.ALLOW,
      resourceType,
      resourceName,
      resourcePatternType:
        resourceType === AclResourceTypes.GROUP
          ? ResourcePatternTypes.PREFIXED
          : ResourcePatternTypes.LITERAL,
    });
    return [
      ...create.map((topic) => entry(CREATE, AclResourceTypes.TOPIC, topic)),
      ...read.map((topic) => entry(READ, AclResourceTypes.TOPIC, topic)),
      ...write.map((topic) => entry(WRITE, AclResourceTypes.TOPIC, topic)),
      ...(groups === undefined ? [] : [entry(READ, AclResourceTypes.GROUP, groups)]),
    ];
  });
  const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createAcls({ acl });
  await admin.disconnect();
}

describe('Kafka with users', () => {
  let kafka: TestKafka;
  let secured: SecuredKafka;
  let dir: string;
  const logs: EventLog[] = [];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-kafka-users-'));
    await writeFile(join(dir, 'password'), `${password}\n`, { mode: 0o600 });
    await writeFile(join(dir, 'wrong'), 'wrong\n', { mode: 0o600 });
    kafka = await startTestKafka({
      users: Object.fromEntries([...names, 'stranger'].map((name) => [name, password])),
    });
    if (kafka.secured === undefined) throw new Error('no users');
    ({ secured } = kafka);
    await applyShippedAcls(kafka.address);
  }, 180_000);
  afterAll(async () => {
    await Promise.all(logs.map(async (log) => log[Symbol.asyncDispose]()));
    await kafka?.[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });

  /** As a service's configuration would have it. */
  const configOf = (username: string, change: object = {}) =>
    eventLogSchema.parse({
      type: 'kafka',
      brokers: [secured.scramAddress],
      tls: { ca_file: secured.caFile },
      sasl: { username, password_file: join(dir, 'password') },
      ...change,
    });
  const open = (config: ReturnType<typeof configOf>, clientId = 'test') => {
    const log = openEventLog(config, { clock: systemClock, logger, clientId });
    if (log === undefined) throw new Error('no event log');
    logs.push(log);
    return log;
  };
  const record = (key: string) => ({ key, headers: {}, value: Buffer.from(key) });
  const unavailable = { code: 'EVENT_LOG_UNAVAILABLE' };

  /** What a group of this user reads within `ms`. */
  const read = async (
    username: string,
    group: string,
    ms: number,
    topic: string = topics.audit,
  ) => {
    const found: StoredRecord[] = [];
    const subscription = await open(configOf(username)).subscribe({
      topic,
      group,
      onBatch: async (records) => void found.push(...records),
    });
    const deadline = Date.now() + ms;
    while (Date.now() < deadline && found.length === 0)
      await new Promise((resolve) => setTimeout(resolve, 50));
    await subscription[Symbol.asyncDispose]();
    return found;
  };

  it('lets audit-service make the topics', async () => {
    const config = configOf('gatehouse-audit');
    if (config.type !== 'kafka') throw new Error('not Kafka');
    const connection = readKafkaConnection(config, { clientId: 'test', logger });
    if (connection === undefined) throw new Error('no connection');
    const specs = Object.values(topics).map((topic) => ({
      topic,
      partitions: 1,
      replicas: 1,
      retentionMs: 3_600_000,
    }));
    await createKafkaTopics(connection, specs);
    await createKafkaTopics(connection, specs);
  });

  it('takes from each service what it may write, and from nobody else anything', async () => {
    await open(configOf('gatehouse-auth')).publish(topics.audit, [record('auth')]);
    await open(configOf('gatehouse-tunnel')).publish(topics.audit, [record('tunnel')]);
    const proxy = open(configOf('gatehouse-proxy'));
    await proxy.publish(topics.audit, [record('proxy')]);
    await proxy.publish(topics.recordings, [record('proxy')]);
    await expect(proxy.publish(topics.checkpoints, [record('forged')])).rejects.toMatchObject(
      unavailable,
    );
    const audit = open(configOf('gatehouse-audit'));
    // Its own events, and dead letters that go back where they came from.
    for (const topic of [topics.audit, topics.recordings, topics.deadLetters])
      await audit.publish(topic, [record('audit')]);
    for (const username of ['siem', 'stranger'])
      await expect(
        open(configOf(username)).publish(topics.audit, [record('forged')]),
      ).rejects.toMatchObject(unavailable);
  }, 180_000);

  it('gives audit-service and outsiders what they may read, and a proxy nothing', async () => {
    const [audit, siem, proxy] = await Promise.all([
      read('gatehouse-audit', 'audit-store', 20_000),
      read('siem', 'siem-1', 20_000),
      read('gatehouse-proxy', 'gatehouse-proxy', 8_000),
    ]);
    expect(audit.map(({ key }) => key)).toContain('proxy');
    expect(siem.map(({ key }) => key)).toContain('proxy');
    expect(proxy).toEqual([]);
    expect(await read('siem', 'siem-2', 5_000, topics.recordings)).toEqual([]);
  }, 180_000);

  it('reads also what a writer has compressed by a codec that no reader has', async () => {
    const topic = 'compressed';
    const connection = { brokers: [kafka.address], clientId: 'test', logger };
    await createKafkaTopics(connection, [
      { topic, partitions: 1, replicas: 1, retentionMs: 3_600_000 },
    ]);
    CompressionCodecs[CompressionTypes.ZSTD] = () => ({
      compress: async ({ buffer }: { buffer: Buffer }) => Promise.resolve(zstdCompressSync(buffer)),
      decompress: async () => Promise.reject(new Error('no reader has it')),
    });
    const producer = new Kafka({ brokers: [kafka.address], logLevel: logLevel.NOTHING }).producer();
    await producer.connect();
    const messages = [{ key: 'k', value: 'x'.repeat(10_000) }];
    await producer.send({ topic, messages, compression: CompressionTypes.ZSTD });
    await producer.disconnect();
    const log = createKafkaEventLog({ ...connection, clock: systemClock });
    logs.push(log);
    const found: StoredRecord[] = [];
    await log.subscribe({
      topic,
      group: 'g',
      onBatch: async (records) => void found.push(...records),
    });
    await expect.poll(() => found.length, { timeout: 30_000 }).toBe(1);
    expect(found[0]?.value).toHaveLength(10_000);
  }, 60_000);

  it('takes a certificate for a name', async () => {
    const { certFile, keyFile } = await secured.issue('gatehouse-proxy');
    const tls = { ca_file: secured.caFile, cert_file: certFile, key_file: keyFile };
    const change = { brokers: [secured.certificateAddress], tls, sasl: undefined };
    await open(configOf('', { ...change, sasl: undefined })).publish(topics.audit, [
      record('mtls'),
    ]);
    const stranger = await secured.issue('stranger');
    const other = {
      ca_file: secured.caFile,
      cert_file: stranger.certFile,
      key_file: stranger.keyFile,
    };
    await expect(
      open(configOf('', { ...change, tls: other })).publish(topics.audit, [record('forged')]),
    ).rejects.toMatchObject(unavailable);
    await expect(
      open(configOf('', { ...change, tls: { ca_file: secured.caFile } })).publish(topics.audit, [
        record('nobody'),
      ]),
    ).rejects.toMatchObject(unavailable);
  }, 180_000);

  it('is refused with a wrong password, and refuses brokers of another authority', async () => {
    const wrong = { sasl: { username: 'gatehouse-proxy', password_file: join(dir, 'wrong') } };
    const refused = open(configOf('gatehouse-proxy', wrong)).publish(topics.audit, [record('x')]);
    await expect(refused).rejects.toMatchObject(unavailable);
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('canary') });
    const strange = open(configOf('gatehouse-proxy', { tls: {} }));
    await expect(strange.publish(topics.audit, [record('x')])).rejects.toMatchObject(unavailable);
  }, 180_000);
});
