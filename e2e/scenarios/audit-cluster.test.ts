/** The audit in a cluster, with two replicas of audit-service: what it must keep, whatever is on the topic or killed. */
import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '@gatehouse/kit/clock';
import {
  encodeAuditRecord,
  encodeChunkRecord,
  openEventLog,
  topics,
  type AuditEvent,
  type EventLog,
  type LogRecord,
} from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { makeEvent } from '@gatehouse/kit/testing';
import { recordChunks } from '@gatehouse/recording/testing';
import formats from 'ajv-formats';
import { Ajv2020 } from 'ajv/dist/2020.js';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import type { Cluster } from '../stack/cluster.js';
import { readStoredCredential, readTlsCredential } from '../stack/credential.js';
import { openDoor, statusOf, type TlsCredential } from '../stack/door.js';
import { lastSession, searchEvents, waitForEvent } from '../stack/events.js';
import type { Person } from '../stack/person.js';
import { eventually, run } from '../stack/run.js';
import { readAuditTopic } from '../stack/topic.js';
import { createClusterWorld, type World } from '../stack/world.js';

const target = 'deploy@web-1';

function makeFloodEvent(
  data: Record<string, unknown>,
  fields: Partial<AuditEvent> = {},
): AuditEvent {
  const actor = { kind: 'user', name: 'flood' };
  return makeEvent({ time: new Date().toISOString(), cluster: 'dev', actor, data, ...fields });
}

describe('the audit of a cluster', () => {
  let world: World<Cluster>;
  let alice: Person;
  let log: EventLog;
  beforeAll(async () => {
    world = await createClusterWorld({
      only: 'staging',
      replicas: { auth: 1, proxy: 1, tunnel: 1, audit: 2 },
      people: { alice: ['dev'], carol: ['auditor'], mallory: ['dev'] },
    });
    alice = world.person('alice');
    const opened = openEventLog(
      { type: 'kafka', brokers: [world.home.ready.kafka] },
      {
        clock: systemClock,
        logger: createLogger({ name: 'test', level: 'silent' }),
        clientId: 'test',
      },
    );
    if (opened === undefined) throw new Error('no event log');
    log = opened;
  }, 240_000);
  afterAll(async () => {
    await log?.[Symbol.asyncDispose]();
    await world?.[Symbol.asyncDispose]();
  });

  const replicas = () => world.home.of('audit');
  /** A counter that has counted nothing yet has no series. */
  const sumOf = async (name: string) =>
    (await Promise.all(replicas().map(async (one) => (await one.metric(name)) || 0))).reduce(
      (a, b) => a + b,
    );
  const publish = async (...records: LogRecord[]) => log.publish(topics.audit, records);

  it('lets anyone read the topic, and every event there fits the schema of its type (AUD-11)', async () => {
    const from = new Date().toISOString();
    expect(await alice.ssh([target, 'echo read-me'])).toMatchObject({ code: 0 });
    await lastSession(world.ada, { user: 'alice', target: 'web-1', from });
    const format = String.raw`%k\t%h\t%s\n`;
    const read = await run(
      'kcat',
      ['-b', world.home.ready.kafka, '-C', '-e', '-q', '-t', topics.audit, '-f', format],
      { timeoutMs: 30_000 },
    );
    expect(read.code).toBe(0);
    const ajv = new Ajv2020({ strict: false });
    formats.default(ajv);
    const types = new Set<string>();
    for (const line of read.stdout.trim().split('\n')) {
      const [key, head = '', value = ''] = line.split('\t');
      const event = JSON.parse(value) as AuditEvent;
      const headers = Object.fromEntries(
        head
          .split(',')
          .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
      );
      expect(headers).toMatchObject({
        ce_specversion: '1.0',
        ce_id: event.id,
        ce_type: `com.gatehouse.${event.type}`,
        ce_time: event.time,
        'content-type': 'application/json',
      });
      expect(headers['ce_source']).toMatch(/^gatehouse:\/\/dev\//);
      if (event.sessionId !== undefined) expect(key).toBe(event.sessionId);
      const file = new URL(`../../docs/events/${event.type}.schema.json`, import.meta.url);
      const schema = JSON.parse(readFileSync(file, 'utf8')) as { required?: string[] };
      const fits = ajv.compile(schema);
      expect(fits(event.data), `${event.type} ${value} ${ajv.errorsText(fits.errors)}`).toBe(true);
      for (const field of schema.required ?? []) {
        const { [field]: _removed, ...rest } = event.data;
        expect(fits(rest), `${event.type} without ${field}`).toBe(false);
      }
      types.add(event.type);
    }
    expect([...types]).toEqual(
      expect.arrayContaining([
        'session.started',
        'ssh.command_ended',
        'session.ended',
        'agent.joined',
      ]),
    );
  }, 90_000);

  it('puts what is no event of ours among the dead letters, counts it, and stores what lies between (AUD-05)', async () => {
    const before = await sumOf('gatehouse_audit_dead_letters');
    const key = randomUUID();
    const valid = [1, 2, 3, 4, 5, 6].map((n) => makeFloodEvent({ mark: `between-${n}` }));
    const records = valid.map((event) => ({
      ...encodeAuditRecord(event, 'gatehouse://dev/test'),
      key,
    }));
    const raw = (value: unknown, headers: Record<string, string> = {}): LogRecord => ({
      key,
      headers,
      value: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
    });
    const { id: _id, ...nameless } = makeFloodEvent({});
    const bad = [
      raw('{"broken":'),
      raw(makeFloodEvent({}), { ce_type: 'com.example.unknown' }),
      raw(nameless),
      raw(makeFloodEvent({}), { ce_specversion: '9.0' }),
      {
        ...encodeAuditRecord(
          makeFloodEvent({}, { type: 'ssh.command_dreamt' }),
          'gatehouse://dev/test',
        ),
        key,
      },
    ];
    await publish(...records.flatMap((record, at) => [record, ...bad.slice(at, at + 1)]));
    await eventually(
      'the events between',
      async () => (await searchEvents(world.ada, { text: 'between-' })).length === 6,
      30_000,
    );
    const letters = await eventually(
      'the dead letters',
      async () => {
        const found = await world.ada.json<{ id: string; reason: string }[]>([
          'audit',
          'dead',
          'ls',
        ]);
        return found.length === 5 ? found : undefined;
      },
      30_000,
    );
    expect(letters.map(({ reason }) => reason.split(':')[0])).toEqual([
      'json',
      'type',
      'shape',
      'version',
      'unknown_type',
    ]);
    expect((await sumOf('gatehouse_audit_dead_letters')) - before).toBe(5);
    const topic = await run(
      'kcat',
      [
        '-b',
        world.home.ready.kafka,
        '-C',
        '-e',
        '-q',
        '-t',
        topics.deadLetters,
        '-f',
        String.raw`%h\n`,
      ],
      { timeoutMs: 30_000 },
    );
    expect(
      topic.stdout.match(/dead_reason=(?:json|type|shape|version|unknown_type):/g),
    ).toHaveLength(5);
    // Put back as it was, it is refused again, in another place.
    const replay = ['audit', 'dead', 'replay', letters[0]?.id ?? '', '--yes'];
    expect(await alice.gate(replay)).toMatchObject({ code: 3 });
    expect(await world.ada.json(replay)).toEqual({ replayed: [letters[0]?.id] });
    await waitForEvent(world.ada, { type: 'dead_letter.replayed', user: 'ada' });
    await eventually(
      'the new dead letter',
      async () => {
        const found = await world.ada.json<{ id: string }[]>(['audit', 'dead', 'ls']);
        return found.length === 5 && !found.some(({ id }) => id === letters[0]?.id);
      },
      30_000,
    );
  }, 120_000);

  it('shows a recording to auditors and to whoever was recorded, and lets nobody change it (REC-09)', async () => {
    const { home, ada } = world;
    const from = new Date().toISOString();
    await alice.ssh(['-tt', target, 'echo for-few-eyes']);
    const events = await lastSession(ada, { user: 'alice', target: 'web-1', from });
    const sessionId = events[0]?.sessionId ?? '';
    const completed = events.find(({ type }) => type === 'recording.completed');
    const recordingId = String(completed?.data['recordingId']);
    const [carol, mallory] = [world.person('carol'), world.person('mallory')];
    const show = async (person: Person, id = recordingId) =>
      person.gate(['recordings', 'export', id, '--as', 'text']);
    const original = await eventually(
      'the recording',
      async () => {
        const { code, stdout } = await show(carol);
        return code === 0 && stdout.includes('for-few-eyes') && stdout;
      },
      60_000,
    );
    expect(await show(alice)).toMatchObject({ code: 0, stdout: original });

    // To somebody else it is as missing as one that never was, whichever id is tried.
    const refuse = async (id: string) => {
      const { code, stdout, stderr } = await show(mallory, id);
      return { code, stdout, stderr: stderr.replaceAll(id, 'ID').replaceAll(/err_\w+/g, 'err') };
    };
    const missing = await refuse(createId('rec'));
    expect(missing.code).not.toBe(0);
    for (const id of [recordingId, sessionId]) expect(await refuse(id)).toEqual(missing);
    const list = async (person: Person) => person.json<{ id: string }[]>(['recordings', 'ls']);
    expect(await list(mallory)).toEqual([]);
    for (const person of [carol, alice])
      expect((await list(person)).map(({ id }) => id)).toContain(recordingId);

    // Nobody but a person reads, and there is no way to write for anybody.
    const kept = (name: string) => join(home.dir, name, 'service-certificate.json');
    const agentFile = join(world.agents.get('a1')?.dir ?? '', 'data/agent.json');
    const callers = {
      nobody: undefined,
      agent: readStoredCredential(agentFile),
      proxy: readStoredCredential(kept('proxy-1')),
      tunnel: readStoredCredential(kept('tunnel-1')),
      audit: readStoredCredential(kept('audit-1')),
      mallory: await readTlsCredential(mallory),
      carol: await readTlsCredential(carol),
    };
    const ask = async (credential: TlsCredential | undefined, methods: readonly string[]) => {
      const door = openDoor(home, 'audit', credential);
      onTestFinished(() => door.destroy());
      const path = '/gatehouse.audit.v1.AuditService';
      return Promise.all(methods.map(async (method) => statusOf(door, `${path}/${method}`)));
    };
    const reads = ['ListRecordings', 'ReadRecording', 'SearchEvents', 'ListDeadLetters'];
    const writes = ['CreateRecording', 'UploadChunk', 'UpdateRecording', 'DeleteRecording'];
    const ok = '0';
    const [missed, refused, notOffered] = ['5', '7', '12'];
    for (const [name, credential] of Object.entries(callers)) {
      const answers = {
        mallory: [ok, missed, ok, refused],
        carol: [ok, missed, ok, ok],
      }[name];
      expect(await ask(credential, reads), name).toEqual(answers ?? reads.map(() => refused));
      expect(await ask(credential, writes), name).toEqual(writes.map(() => notOffered));
    }
    expect(await ada.gate(['recordings', 'rm', recordingId])).toMatchObject({ code: 2 });
    const key = `${sessionId}/${recordingId}/00000000.gz`;
    const stored = join(home.dir, 'recordings', key);
    const bytes = readFileSync(stored);
    for (const path of [key, `recordings/${key}`]) {
      const url = `${home.ready.webUrl}/${path}`;
      const flags = [
        '--silent',
        '--insecure',
        '--output',
        '/dev/null',
        '--write-out',
        '%{http_code}',
      ];
      expect((await run('curl', [...flags, url])).stdout).toBe('404');
    }

    // Whoever may write to the topic changes nothing that was acknowledged.
    const [lie] = await recordChunks((recorder) => recorder.output(Buffer.from('a lie\r\n')));
    if (lie === undefined) throw new Error('no chunk');
    const forged = { ...lie, recordingId, sessionId, cluster: 'dev', protocol: 'ssh' };
    const actor = { kind: 'user', name: 'mallory' };
    const before = (await ada.json<unknown[]>(['audit', 'dead', 'ls'])).length;
    await log.publish(topics.recordings, [
      encodeChunkRecord({ ...forged, actor }),
      encodeChunkRecord({ ...forged, actor, sessionId: createId('ses') }),
    ]);
    const letters = await eventually(
      'the dead letters',
      async () => {
        const found = await ada.json<{ reason: string }[]>(['audit', 'dead', 'ls']);
        return found.length >= before + 2 && found.slice(before);
      },
      30_000,
    );
    for (const { reason } of letters) expect(reason).toMatch(/^conflict: /);
    expect(await show(carol)).toMatchObject({ code: 0, stdout: original });
    expect(readFileSync(stored).equals(bytes)).toBe(true);
  }, 180_000);

  it('stores each event once where replicas are killed between storing and committing, again and again (AUD-06)', async () => {
    const ids: string[] = [];
    const stop = new AbortController();
    const flood = async () => {
      while (!stop.signal.aborted) {
        const events = Array.from({ length: 50 }, () =>
          makeFloodEvent({ mark: 'killed-under' }, { sessionId: createId('ses') }),
        );
        const records = events.map((event) => encodeAuditRecord(event, 'gatehouse://dev/test'));
        // A broker that dies may have taken a send and not say so: as from a spool, it comes again.
        const isTaken = async () =>
          publish(...records).then(
            () => true,
            () => false,
          );
        await eventually('the broker to take a send', isTaken, 60_000);
        ids.push(...events.map(({ id }) => id));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    const flooding = flood();
    const { kafka, postgres } = world.home;
    const database = new pg.Client({
      connectionString: new URL('gatehouse_audit', postgres.url).href,
    });
    database.on('error', () => undefined);
    await database.connect();
    const ask = async (query: string) => {
      const { rows } = await database.query<{ count: string }>(query);
      return Number(rows[0]?.count);
    };
    const countRepeats = () =>
      replicas().flatMap(({ log: text }) => text.match(/"events received again"/g) ?? []).length;
    const countStored = async () => ask('select count(*) from audit_event');
    const countWaiting = async () =>
      ask("select count(*) from pg_locks where not granted and relation = 'audit_event'::regclass");
    // Each round costs half a minute; `pnpm soak chaos` does it for ten.
    for (let round = 0; round < 3; round += 1) {
      // What is fetched waits for the lock; once that is gone it is stored, and the broker hears of no commit.
      await database.query('begin; lock table audit_event in share mode');
      await eventually('a batch that waits', async () => (await countWaiting()) > 0, 60_000);
      await kafka.kill();
      const before = await countStored();
      await database.query('commit');
      await eventually('it in the store', async () => (await countStored()) > before, 30_000);
      await Promise.all(replicas().map(async (one) => one.stop('SIGKILL')));
      const seen = countRepeats();
      await Promise.all([kafka.restart(), ...replicas().map(async (one) => one.start())]);
      await eventually('the repeats', () => countRepeats() > seen, 60_000);
    }
    await database.end();
    stop.abort();
    await flooding;
    const stored = await eventually(
      'all of them in the store',
      async () => {
        const exported = await world.ada.gate(['audit', 'export', '--user', 'flood'], {
          timeoutMs: 60_000,
        });
        const lines = exported.stdout.trim().split('\n');
        const found = lines
          .map((line) => JSON.parse(line) as AuditEvent)
          .filter(({ data }) => data['mark'] === 'killed-under');
        return found.length >= ids.length ? found : undefined;
      },
      120_000,
    );
    expect(stored.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    await using topic = await readAuditTopic(world.home.ready.kafka);
    await eventually(
      'the topic to be read',
      () => {
        const read = topic.events.filter(({ data }) => data['mark'] === 'killed-under');
        return read.length >= ids.length && new Set(read.map(({ id }) => id)).size === ids.length;
      },
      60_000,
    );
  }, 600_000);

  it('deletes no recording before the store has it: away for a while, it is whole afterwards (REC-03)', async () => {
    const dir = join(world.home.dir, 'recordings');
    const away = `${dir}.away`;
    renameSync(dir, away);
    // Root may write anywhere, but not below a file.
    writeFileSync(dir, '');
    const from = new Date().toISOString();
    const played = await alice.ssh(['-tt', target, 'echo while-the-store-is-away; sleep 1'], {
      timeoutMs: 60_000,
    });
    expect(played.stdout).toContain('while-the-store-is-away');
    await eventually(
      'the metric to show the wait',
      async () => (await sumOf('gatehouse_audit_lag_recordings_seconds')) > 3,
      30_000,
    );
    expect(await sumOf('gatehouse_audit_lag_recordings')).toBeGreaterThan(0);
    renameSync(dir, `${dir}.file`);
    renameSync(away, dir);
    const events = await lastSession(world.ada, { user: 'alice', target: 'web-1', from });
    const completed = events.find(({ type }) => type === 'recording.completed');
    const recordingId = String(completed?.data['recordingId']);
    await eventually(
      'the recording to be whole',
      async () => {
        const shown = await world.ada.gate(['recordings', 'export', recordingId, '--as', 'text']);
        return shown.code === 0 && shown.stdout.includes('while-the-store-is-away');
      },
      60_000,
    );
    await eventually(
      'nothing to wait any more',
      async () => (await sumOf('gatehouse_audit_lag_recordings')) === 0,
      30_000,
    );
  }, 180_000);
});
