import { systemClock } from '@gatehouse/kit/clock';
import { topics, type AuditEvent } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { createMemoryEventLog } from '@gatehouse/kit/testing';
import { beforeAll, describe, expect, it } from 'vitest';

import { auditConfigSchema } from '../src/config.js';
import { createDays } from '../src/events/days.js';
import { storeLearnedTypes } from '../src/events/learned-types.js';
import { eventTypes } from '../src/events/types.js';
import { createAuditMetrics } from '../src/metrics.js';
import { openDatabase } from '../src/store/open-database.js';
import { filterOf, makeEvent, useAudit, type AuditClient } from './support.js';

const wait = { timeout: 30_000, interval: 50 };

describe.each(['PGlite', 'PostgreSQL'] as const)('dead letters on %s', (engine) => {
  const scene = useAudit(engine);
  let ada: AuditClient;
  let alice: AuditClient;
  beforeAll(async () => {
    ada = await scene.audit.person('ada', ['admin']);
    alice = await scene.audit.person('alice', ['access']);
  }, 60_000);

  const publish = async (value: string, headers: Record<string, string> = {}) =>
    createMemoryEventLog(scene.audit.broker).publish(topics.audit, [
      { key: 'k', headers, value: Buffer.from(value) },
    ]);
  const list = async (client: AuditClient, withReplayed = false) =>
    (await client.listDeadLetters({ withReplayed, limit: 0, pageToken: '' })).deadLetters;
  const search = async (text: string) =>
    (await scene.carol.searchEvents({ filter: filterOf({ text }) })).eventsJson.map(
      (json) => JSON.parse(json) as unknown,
    );

  it('are listed with place and reason to who may read all events, and to nobody else', async () => {
    await publish('{"id":');
    await publish(JSON.stringify(makeEvent()), { ce_type: 'org.other.thing' });
    await expect.poll(async () => list(scene.carol), wait).toHaveLength(2);
    const letters = await list(scene.carol);
    expect(letters).toMatchObject([
      { id: `${topics.audit}/0/0`, topic: topics.audit, key: 'k', bytes: 6, replayedBy: '' },
      { id: `${topics.audit}/0/1` },
    ]);
    expect(letters.map(({ reason }) => reason.split(':')[0])).toEqual(['json', 'type']);
    await expect(list(alice)).rejects.toMatchObject({ code: 'AUDIT_DENIED' });
    const page = async (pageToken: string) =>
      scene.carol.listDeadLetters({ withReplayed: false, limit: 1, pageToken });
    const first = await page('');
    const next = await page(first.nextPageToken);
    expect([...first.deadLetters, ...next.deadLetters]).toEqual(letters);
    expect(next.nextPageToken).toBe('');
  });

  it('go back on their topic once what refused them is mended, by who may, and audited', async () => {
    const sessionId = createId('ses');
    const [first, second] = ['taker', 'waits'].map((marker) =>
      makeEvent({ sessionId, sequence: 1, data: { marker, text: 'ünïcode' } }),
    );
    if (first === undefined || second === undefined) throw new Error('no events');
    await scene.audit.publish([first, second]);
    const find = async () =>
      (await list(scene.carol)).find(({ reason }) => reason.startsWith('sequence'))?.id;
    await expect.poll(find, wait).toBeDefined();
    const id = (await find()) ?? '';
    await expect(scene.carol.replayDeadLetter({ id })).rejects.toMatchObject({
      code: 'AUDIT_DENIED',
    });
    await expect(alice.replayDeadLetter({ id })).rejects.toMatchObject({ code: 'AUDIT_DENIED' });
    await expect(ada.replayDeadLetter({ id: 'no/0/1' })).rejects.toMatchObject({
      code: 'DEAD_LETTER_UNKNOWN',
    });
    // Not mended: it is a dead letter again, in another scene.place.
    await ada.replayDeadLetter({ id });
    await expect.poll(find, wait).toBeDefined();
    const again = (await find()) ?? '';
    expect(again).not.toBe(id);
    await scene.place.database.deleteFrom('audit_event').where('id', '=', first.id).execute();
    await ada.replayDeadLetter({ id: again });
    await expect.poll(async () => search('waits'), wait).toEqual([second]);
    expect(await find()).toBeUndefined();
    const replayed = (await list(scene.carol, true)).filter(
      ({ replayedBy }) => replayedBy === 'ada',
    );
    expect(replayed.map((one) => one.id)).toEqual([id, again]);
    expect(await search(again)).toMatchObject([
      { type: 'dead_letter.replayed', actor: { name: 'ada' }, data: { deadLetter: again } },
    ]);
  });

  it('are not put back where only their beginning is kept', async () => {
    await publish(`{"id": "${'x'.repeat(600 * 1024)}`);
    const find = async () => (await list(scene.carol)).find(({ bytes }) => bytes > 600_000)?.id;
    await expect.poll(find, wait).toBeDefined();
    const id = (await find()) ?? '';
    await expect(ada.replayDeadLetter({ id })).rejects.toMatchObject({ code: 'DEAD_LETTER_CUT' });
  });

  it('hold nothing up where key and headers leave no room for what a letter says itself', async () => {
    const long = { long: 'h'.repeat(600 * 1024) };
    await publish('v'.repeat(1024 * 1024 - 600 * 1024 - 100), long);
    const find = async () => (await list(scene.carol)).find(({ bytes }) => bytes > 1_000_000)?.id;
    await expect.poll(find, wait).toBeDefined();
    const id = (await find()) ?? '';
    await expect(ada.replayDeadLetter({ id })).rejects.toMatchObject({ code: 'DEAD_LETTER_CUT' });
    await scene.audit.publish([makeEvent({ data: { marker: 'behind-it' } })]);
    await expect.poll(async () => search('behind-it'), wait).toHaveLength(1);
  });

  describe('of a type that this release does not know', () => {
    const type = 'ssh.command_dreamt';
    const laterTypes = new Set([...eventTypes, type]);
    const waiting = async (sessionId: string) =>
      (await list(scene.carol)).filter(({ key }) => key === sessionId).map(({ reason }) => reason);
    const sequences = async (sessionId: string) => {
      const { eventsJson } = await scene.carol.searchEvents({ filter: filterOf({ sessionId }) });
      const events = eventsJson.map((json) => JSON.parse(json) as AuditEvent);
      return events.map(({ sequence = 0 }) => sequence).toSorted((a, b) => a - b);
    };
    const deadLettersCounted = async () => {
      const metrics = await (await fetch(`${scene.audit.service.metricsUrl}/metrics`)).text();
      return Number(/^gatehouse_audit_dead_letters(?:{.*})? (\d+)/m.exec(metrics)?.[1] ?? 0);
    };

    it('are stored by a replica of the release that does, beside one that does not, and fill the hole that they left', async () => {
      const sessionId = createId('ses');
      const before = await deadLettersCounted();
      const events = [
        'ssh.command_started',
        type,
        'ssh.command_forgotten',
        'ssh.command_ended',
      ].map((each, index) => makeEvent({ type: each, sessionId, sequence: index + 1 }));
      await scene.audit.publish(events);
      await expect.poll(async () => sequences(sessionId), wait).toEqual([1, 4]);
      const reasons = [`unknown_type: ${type}`, 'unknown_type: ssh.command_forgotten'];
      await expect.poll(async () => waiting(sessionId), wait).toEqual(reasons);
      expect((await deadLettersCounted()) - before).toBe(2);
      await using _later = await scene.audit.addReplica({ eventTypes: laterTypes });
      await expect.poll(async () => sequences(sessionId), wait).toEqual([1, 2, 4]);
      await expect.poll(async () => waiting(sessionId), wait).toEqual([reasons[1]]);
      // Not by way of the topic: it has what was published above, once. Events of the service itself come there at any time.
      expect(
        scene.audit.broker.records(topics.audit).filter(({ key }) => key === sessionId),
      ).toHaveLength(events.length);
      const stored = (await list(scene.carol, true)).filter(({ key }) => key === sessionId);
      expect(stored.map(({ replayedBy }) => replayedBy)).toEqual(['audit-service', '']);
    });

    it('are stored also where an older replica adds them later; those that are refused again stay', async () => {
      await using stack = new AsyncDisposableStack();
      const logger = createLogger({ name: 'test', level: 'silent' });
      const { database, retention } = auditConfigSchema.shape;
      const settings = database.parse(scene.place.config);
      const clock = systemClock;
      stack.use(
        storeLearnedTypes(
          {
            ...(await openDatabase(settings, { logger, stack })),
            clock,
            days: createDays({ clock, retention: retention.parse({}) }),
            eventTypes: laterTypes,
            logger,
            manifests: { write: async () => Promise.resolve(), [Symbol.dispose]: () => undefined },
            metrics: createAuditMetrics(),
          },
          { everyMs: 20 },
        ),
      );
      const sessionId = createId('ses');
      for (const [sequence, expected] of [
        [1, [1]],
        // Its place is taken: that is for a person to see.
        [1, [1]],
        [2, [1, 2]],
      ] as const) {
        await scene.audit.publish([makeEvent({ type, sessionId, sequence })]);
        await expect.poll(async () => sequences(sessionId), wait).toEqual(expected);
      }
      await expect.poll(async () => waiting(sessionId), wait).toEqual([`unknown_type: ${type}`]);
    });
  });
});
