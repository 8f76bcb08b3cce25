import { topics } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { createMemoryEventLog } from '@gatehouse/kit/testing';
import { beforeAll, describe, expect, it } from 'vitest';

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
});
