import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  encodeChunkRecord,
  topics,
  type ChunkRecord,
  type RecordingChunk,
} from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createMemoryEventLog } from '@gatehouse/kit/testing';
import { readRecording, toText } from '@gatehouse/recording';
import { recordChunks } from '@gatehouse/recording/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { chunkKey } from '../src/recordings/object-store.js';
import {
  cluster,
  filterOf,
  makeEvent,
  openPlace,
  startAudit,
  type AuditClient,
  type TestAudit,
  type TestDatabasePlace,
  withoutTable,
} from './support.js';

const wait = { timeout: 10_000, interval: 20 };
const zeros = '0'.repeat(64);

describe.each(['PGlite', 'PostgreSQL'] as const)('recordings on %s', (engine) => {
  let place: TestDatabasePlace;
  let audit: TestAudit;
  let carol: AuditClient;

  beforeAll(async () => {
    place = await openPlace(engine);
    audit = await startAudit(place);
    carol = await audit.person('carol', ['auditor']);
  });
  afterAll(async () => {
    await audit[Symbol.asyncDispose]();
    await place[Symbol.asyncDispose]();
  });

  interface Recorded {
    readonly sessionId: string;
    readonly recordingId: string;
    readonly records: readonly ChunkRecord[];
    readonly completed: ReturnType<typeof makeEvent>;
  }

  async function record(user: string, text: string): Promise<Recorded> {
    const sessionId = createId('ses');
    const recordingId = createId('rec');
    const chunks = await recordChunks((recorder, clock) => {
      recorder.output(Buffer.from(`${text}\r\n`));
      clock.advance(1500);
      recorder.output(Buffer.alloc(300_000, 'x'));
    });
    const actor = { kind: 'user', name: user };
    const target = { kind: 'node', name: 'web-1' };
    const records = chunks.map((chunk) => ({
      ...chunk,
      recordingId,
      sessionId,
      cluster,
      actor,
      target,
      protocol: 'ssh',
    }));
    const data = {
      recordingId,
      chunks: chunks.length,
      bytes: 300_000,
      durationMs: 1600,
      head: chunks.at(-1)?.sha256,
    };
    return {
      sessionId,
      recordingId,
      records,
      completed: makeEvent({ type: 'recording.completed', sessionId, actor, target, data }),
    };
  }

  async function publish(records: readonly ChunkRecord[]): Promise<void> {
    const log = createMemoryEventLog(audit.broker);
    for (const one of records) await log.publish(topics.recordings, [encodeChunkRecord(one)]);
  }

  const list = async (
    client: AuditClient,
    fields: Partial<{
      user: string;
      target: string;
      sessionId: string;
      limit: number;
      pageToken: string;
    }> = {},
  ) =>
    client.listRecordings({
      user: '',
      target: '',
      sessionId: '',
      limit: 0,
      pageToken: '',
      ...fields,
    });

  async function complete(recorded: Recorded): Promise<void> {
    await expect
      .poll(
        async () => (await list(carol, { sessionId: recorded.sessionId })).recordings[0]?.complete,
        wait,
      )
      .toBe(true);
  }

  async function hasBytes(recorded: Recorded): Promise<void> {
    await expect
      .poll(
        async () => (await list(carol, { sessionId: recorded.sessionId })).recordings[0]?.bytes,
        wait,
      )
      .toBeGreaterThan(0n);
  }

  /** The event of its end is stored. */
  async function hasEnded({ sessionId }: Recorded): Promise<boolean> {
    const [summary] = (await list(carol, { sessionId })).recordings;
    return (summary?.durationMs ?? 0n) >= 1600n;
  }

  async function play(client: AuditClient, id: string) {
    const messages = [];
    for await (const message of client.readRecording({ id })) messages.push(message);
    const isPartial = messages.at(-1)?.partial === true;
    let text = '';
    for await (const piece of toText(readRecording(messages.filter(({ partial }) => !partial))))
      text += piece;
    return { text, isPartial };
  }

  const playText = async (client: AuditClient, id: string) => (await play(client, id)).text;

  it.each(['chunks first', 'end first'])('come back as they were recorded (%s)', async (order) => {
    const recorded = await record('alice', `the marker ${order}`);
    if (order === 'end first') {
      await audit.publish([recorded.completed]);
      await expect
        .poll(
          async () => (await list(carol, { sessionId: recorded.sessionId })).recordings.length,
          wait,
        )
        .toBe(1);
      expect((await list(carol, { sessionId: recorded.sessionId })).recordings[0]?.complete).toBe(
        false,
      );
    }
    await publish(recorded.records);
    await publish(recorded.records);
    if (order === 'chunks first') await audit.publish([recorded.completed]);
    await complete(recorded);
    const [summary] = (await list(carol, { sessionId: recorded.sessionId })).recordings;
    expect(summary).toMatchObject({
      id: recorded.recordingId,
      protocol: 'ssh',
      user: 'alice',
      target: 'web-1',
      durationMs: 1600n,
      bytes: BigInt(300_000 + `the marker ${order}\r\n`.length),
    });
    expect(await playText(carol, recorded.recordingId)).toContain(`the marker ${order}\n`);
    expect(await playText(carol, recorded.sessionId)).toContain(`the marker ${order}\n`);
    const folder = join(audit.recordingsDir, recorded.sessionId, recorded.recordingId);
    await expect
      .poll(() => readdirSync(folder).toSorted(), wait)
      .toEqual(['00000000.gz', '00000001.gz', 'manifest.json']);
    expect(JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))).toMatchObject({
      id: recorded.recordingId,
      chunks: recorded.records.map(({ index, sha256 }) => ({ index, sha256 })),
    });
  });

  it('can be read while they go on', async () => {
    const recorded = await record('alice', 'so far');
    await publish(recorded.records.slice(0, 1));
    await hasBytes(recorded);
    const soFar = await play(carol, recorded.recordingId);
    expect(soFar).toMatchObject({ isPartial: true, text: expect.stringContaining('so far') });
    await audit.publish([recorded.completed]);
    await expect.poll(async () => hasEnded(recorded), wait).toBe(true);
    const playing = play(carol, recorded.recordingId);
    await publish(recorded.records);
    const whole = await playing;
    expect(whole.isPartial).toBe(false);
    expect(whole.text.length).toBeGreaterThan(soFar.text.length);
  });

  it('never change: another chunk in a stored one’s place is a dead letter, as is a chunk of another session', async () => {
    const recorded = await record('alice', 'the truth');
    await publish(recorded.records);
    await audit.publish([recorded.completed]);
    await complete(recorded);
    const before = audit.broker.records(topics.deadLetters).length;
    const forged = await record('mallory', 'a lie');
    const [lie] = forged.records;
    const content = Buffer.from('no gzip');
    const sha256 = createHash('sha256').update(content).digest('hex');
    await publish([
      { ...lie!, recordingId: recorded.recordingId, sessionId: recorded.sessionId },
      { ...lie!, recordingId: recorded.recordingId },
      { ...lie!, recordingId: recorded.recordingId, index: 7 },
      { ...recorded.records[0]!, content, sha256 },
      ...forged.records,
    ]);
    await audit.publish([forged.completed]);
    await complete(forged);
    const reasons = () =>
      audit.broker
        .records(topics.deadLetters)
        .slice(before)
        .map((letter) => letter.headers['dead_reason']);
    await expect
      .poll(reasons, wait)
      .toEqual([
        'conflict: other content is stored',
        'conflict: other content is stored',
        'conflict: the recording is of another session',
        'conflict: other content is stored',
      ]);
    expect(await playText(carol, recorded.recordingId)).toContain('the truth');
    expect(readdirSync(audit.recordingsDir)).not.toContain('..');
  });

  it('take no path from a chunk: ids that are none are dead letters', async () => {
    const recorded = await record('alice', 'path');
    const before = audit.broker.records(topics.deadLetters).length;
    await publish([
      { ...recorded.records[0]!, recordingId: '../../../tmp/planted' },
      { ...recorded.records[0]!, sessionId: `ses_${'0'.repeat(31)}/` },
    ]);
    await expect.poll(() => audit.broker.records(topics.deadLetters).length, wait).toBe(before + 2);
    expect(() => chunkKey('../x', recorded.recordingId, 0)).toThrow(RangeError);
  });

  it('write one dead letter of a chunk, however often its batch is read', async () => {
    const recorded = await record('alice', 'stored at last');
    const before = audit.broker.records(topics.deadLetters).length;
    const log = createMemoryEventLog(audit.broker);
    const planted = { ...recorded.records[0]!, recordingId: '../../../tmp/planted' };
    await withoutTable(place, 'audit_recording_chunk', async () => {
      await log.publish(topics.recordings, [planted, ...recorded.records].map(encodeChunkRecord));
      await sleep(500);
    });
    await audit.publish([recorded.completed]);
    await complete(recorded);
    await expect.poll(() => audit.broker.records(topics.deadLetters).length - before, wait).toBe(1);
  });

  it('hold up no other where the database can not take one', async () => {
    const [bad, good] = [await record('alice', 'bad'), await record('alice', 'good')];
    const before = audit.broker.records(topics.deadLetters).length;
    await publish([{ ...bad.records[0]!, protocol: 'ssh\0' }, ...good.records]);
    await audit.publish([good.completed]);
    await complete(good);
    await expect.poll(() => audit.broker.records(topics.deadLetters).length, wait).toBe(before + 1);
  });

  // A disk that was full kept every later event out of the store.
  it('hold up no event where a manifest can not be written, and get theirs later', async () => {
    const recorded = await record('alice', 'manifest');
    await publish(recorded.records);
    await hasBytes(recorded);
    const folder = join(audit.recordingsDir, recorded.sessionId, recorded.recordingId);
    const inTheWay = join(folder, 'manifest.json');
    mkdirSync(inTheWay);
    const behind = makeEvent({ type: 'login.failed' });
    await audit.publish([recorded.completed, behind]);
    await complete(recorded);
    const after = makeEvent({ type: 'login.failed', actor: { kind: 'user', name: 'trudy' } });
    await audit.publish([after]);
    const found = async () => {
      const { eventsJson } = await carol.searchEvents({ filter: filterOf({ user: 'trudy' }) });
      return eventsJson.length;
    };
    await expect.poll(found, wait).toBe(1);
    rmdirSync(inTheWay);
    await expect
      .poll(() => statSync(inTheWay, { throwIfNoEntry: false })?.isFile(), { timeout: 25_000 })
      .toBe(true);
  });

  it('are seen by auditors and by whoever was recorded, by nobody else', async () => {
    const recorded = await record('alice', 'mine');
    await publish(recorded.records);
    await audit.publish([recorded.completed]);
    await complete(recorded);
    const alice = await audit.person('alice', ['access']);
    const mallory = await audit.person('mallory', []);
    expect((await list(alice, { sessionId: recorded.sessionId })).recordings).toHaveLength(1);
    expect((await list(alice, {})).recordings.every(({ user }) => user === 'alice')).toBe(true);
    expect(await list(mallory, {})).toEqual({
      recordings: [expect.objectContaining({ user: 'mallory' })],
      nextPageToken: '',
    });
    expect(await list(mallory, { sessionId: recorded.sessionId })).toEqual({
      recordings: [],
      nextPageToken: '',
    });
    expect(await playText(alice, recorded.recordingId)).toContain('mine');
    const hidden = async (id: string) =>
      playText(mallory, id).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    const [denied, missing] = [await hidden(recorded.recordingId), await hidden(createId('rec'))];
    expect(denied).toMatchObject({ code: 'RECORDING_HIDDEN', kind: 'not_found' });
    expect(missing).toMatchObject({ code: 'RECORDING_HIDDEN', kind: 'not_found' });
    for (const id of ['', '../x', `${recorded.sessionId}/${recorded.recordingId}`, 'rec_%']) {
      expect(await hidden(id)).toMatchObject({ code: 'RECORDING_HIDDEN' });
    }
    for (const kind of ['agent', 'service', 'anonymous'] as const) {
      await expect(
        playText(await audit.stranger(kind), recorded.recordingId),
      ).rejects.toMatchObject({ kind: 'permission_denied' });
    }
  });

  it('are not seen by somebody else who was given the name later', async () => {
    const recorded = await record('twin', 'of the first');
    await publish(recorded.records);
    await audit.publish([recorded.completed]);
    await complete(recorded);
    const twin = await audit.person('twin', ['access']);
    expect((await list(twin)).recordings).toHaveLength(1);
    expect(await playText(twin, recorded.recordingId)).toContain('of the first');
    audit.policy.createdAt.set('twin', Date.now());
    expect((await list(twin)).recordings).toEqual([]);
    await expect(playText(twin, recorded.recordingId)).rejects.toMatchObject({
      code: 'RECORDING_HIDDEN',
    });
    const later = await record('twin', 'of the second');
    await publish(later.records);
    await audit.publish([later.completed]);
    await complete(later);
    expect((await list(twin)).recordings.map(({ id }) => id)).toEqual([later.recordingId]);
    expect(await playText(twin, later.recordingId)).toContain('of the second');
  });

  const played = (recordingId: string) =>
    audit.broker
      .records(topics.audit)
      .filter(
        ({ headers, value }) =>
          headers['ce_type'] === 'com.gatehouse.recording.played' && value.includes(recordingId),
      );

  it('say in the audit who read them', async () => {
    const recorded = await record('alice', 'watched');
    await publish(recorded.records);
    await hasBytes(recorded);
    await playText(carol, recorded.recordingId);
    const found = await carol.searchEvents({
      filter: filterOf({ type: 'recording.played', text: recorded.recordingId }),
    });
    expect(found.eventsJson.map((json) => JSON.parse(json) as unknown)).toMatchObject([
      {
        actor: {
          name: 'carol',
          roles: ['auditor'],
          address: expect.stringContaining('192.0.2.1') as string,
        },
        data: { owner: 'alice', recordingId: recorded.recordingId },
      },
    ]);
    await expect.poll(() => played(recorded.recordingId), wait).toHaveLength(1);
  });

  it('say it on the event log once, also where that was away and two replicas could', async () => {
    const recorded = await record('alice', 'watched meanwhile');
    await publish(recorded.records);
    await hasBytes(recorded);
    await using _second = await audit.addReplica();
    audit.broker.isAway = true;
    try {
      await playText(carol, recorded.recordingId);
      const filter = filterOf({ type: 'recording.played', text: recorded.recordingId });
      expect((await carol.searchEvents({ filter })).eventsJson).toHaveLength(1);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      expect(played(recorded.recordingId)).toEqual([]);
    } finally {
      audit.broker.isAway = false;
    }
    await expect.poll(() => played(recorded.recordingId), wait).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(played(recorded.recordingId)).toHaveLength(1);
  });

  it('that were changed on the disk are not handed out', async () => {
    const recorded = await record('alice', 'tampered');
    await publish(recorded.records);
    await audit.publish([recorded.completed]);
    await complete(recorded);
    writeFileSync(
      join(audit.recordingsDir, chunkKey(recorded.sessionId, recorded.recordingId, 1)),
      'changed',
    );
    await expect(playText(carol, recorded.recordingId)).rejects.toMatchObject({
      code: 'RECORDING_INCOMPLETE',
    });
  });

  it('are listed in pages, newest first, sealed for one person', async () => {
    const many: RecordingChunk[] = await recordChunks((recorder) =>
      recorder.output(Buffer.from('x')),
    );
    const user = `pager-${engine}`;
    const records = Array.from({ length: 25 }, () => ({
      ...many[0]!,
      recordingId: createId('rec'),
      sessionId: createId('ses'),
      cluster,
      actor: { kind: 'user', name: user },
      previousSha256: zeros,
    }));
    await publish(records);
    await expect.poll(async () => (await list(carol, { user })).recordings.length, wait).toBe(25);
    const first = await list(carol, { user, limit: 10 });
    const second = await list(carol, { user, limit: 10, pageToken: first.nextPageToken });
    const third = await list(carol, { user, limit: 10, pageToken: second.nextPageToken });
    expect(
      [...first.recordings, ...second.recordings, ...third.recordings].map(({ id }) => id),
    ).toEqual(records.map(({ recordingId }) => recordingId).toReversed());
    expect(third.nextPageToken).toBe('');
    const other = await audit.person('carla', ['auditor']);
    await expect(
      list(other, { user, limit: 10, pageToken: first.nextPageToken }),
    ).rejects.toMatchObject({ code: 'AUDIT_PAGE_TOKEN' });
  });
});
