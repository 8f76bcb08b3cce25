/** What every driver of the event log must do. */
import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { isReadThrough } from './read-through.js';
import type { EventLog, LogRecord, StoredRecord } from './types.js';

export interface EventLogPlace extends AsyncDisposable {
  /** Opens the log; a test closes it. Each call is a new client of the same log. */
  open(): Promise<EventLog>;
  /** A topic that is not in use yet. */
  newTopic(): Promise<string>;
}

/** Runs the suite against a driver. `start` brings up what it needs; `waitMs` bounds each wait. */
export function describeEventLog(
  name: string,
  start: () => Promise<EventLogPlace>,
  waitMs = 10_000,
): void {
  describe(`event log on ${name}`, () => {
    let place: EventLogPlace;
    beforeAll(async () => {
      place = await start();
    });
    afterAll(async () => place[Symbol.asyncDispose]());

    const wait = { timeout: waitMs, interval: 20 };
    const text = (records: readonly LogRecord[]) =>
      records.map((record) => record.value.toString());
    const record = (value: string, key = 'k'): LogRecord => ({
      key,
      headers: {},
      value: Buffer.from(value),
    });

    async function collect(
      log: EventLog,
      topic: string,
      group: string,
    ): Promise<{ seen: StoredRecord[]; stop: () => Promise<void> }> {
      const seen: StoredRecord[] = [];
      const subscription = await log.subscribe({
        topic,
        group,
        onBatch: async (records) => void seen.push(...records),
      });
      return { seen, stop: async () => subscription[Symbol.asyncDispose]() };
    }

    it('gives back key, headers and any bytes', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      const value = randomBytes(100_000);
      await log.publish(topic, [
        {
          key: 'ses_ü',
          headers: { ce_id: 'evt_1', 'content-type': 'text/plain', name: 'ü\u0001"' },
          value,
        },
      ]);
      const { seen, stop } = await collect(log, topic, 'g');
      await expect.poll(() => seen.length, wait).toBe(1);
      expect(seen[0]).toMatchObject({
        topic,
        key: 'ses_ü',
        headers: { ce_id: 'evt_1', name: 'ü\u0001"' },
      });
      expect(seen[0]?.value.equals(value)).toBe(true);
      await stop();
    });

    it('says whether a group has read what is there', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      const ask = async () => isReadThrough(log, { topic, group: 'g', timeoutMs: 0 });
      expect(await ask()).toBe(true);
      await log.publish(topic, [record('one'), record('two', 'other')]);
      expect(await ask()).toBe(false);
      const reading = await collect(log, topic, 'g');
      await expect.poll(ask, wait).toBe(true);
      expect(text(reading.seen).toSorted()).toEqual(['one', 'two']);
      await reading.stop();
      await log.publish(topic, [record('three')]);
      expect(await ask()).toBe(false);
    });

    it('takes an empty value and keeps a NUL in a key from holding anything up', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      await log.publish(topic, []);
      await log.publish(topic, [record('', 'a\0b'), record('next', 'a\0b')]);
      const { seen, stop } = await collect(log, topic, 'g');
      await expect.poll(() => text(seen), wait).toEqual(['', 'next']);
      await stop();
    });

    it('keeps the order of a key within and across sends', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      const expected = Array.from({ length: 1500 }, (_, index) => String(index));
      for (let at = 0; at < 1500; at += 300)
        await log.publish(
          topic,
          expected.slice(at, at + 300).map((value) => record(value)),
        );
      const { seen, stop } = await collect(log, topic, 'g');
      await expect.poll(() => seen.length, wait).toBe(1500);
      expect(text(seen)).toEqual(expected);
      const positions = seen.map((one) => one.position);
      expect(positions).toEqual(positions.toSorted((a, b) => Number(a - b)));
      await stop();
    });

    it('wakes a reader that waits', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      const { seen, stop } = await collect(log, topic, 'g');
      await log.publish(topic, [record('first')]);
      await expect.poll(() => text(seen), wait).toEqual(['first']);
      await log.publish(topic, [record('second')]);
      await expect.poll(() => text(seen), wait).toEqual(['first', 'second']);
      await stop();
    });

    it('gives a batch again until it is taken, and nothing behind it meanwhile', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      await log.publish(topic, [record('poison')]);
      let failures = 3;
      const taken: string[] = [];
      const offered: string[] = [];
      await using _subscription = await log.subscribe({
        topic,
        group: 'g',
        onBatch: async (records) => {
          offered.push(...text(records));
          if (failures > 0) {
            failures -= 1;
            throw new Error('not now');
          }
          taken.push(...text(records));
        },
      });
      await log.publish(topic, [record('behind')]);
      await expect.poll(() => taken, wait).toEqual(['poison', 'behind']);
      expect(offered.filter((value) => value === 'poison')).toHaveLength(4);
      expect(offered[0]).toBe('poison');
    });

    it('goes on behind what was taken when it is opened again', async () => {
      const topic = await place.newTopic();
      {
        await using log = await place.open();
        await log.publish(topic, [record('one'), record('two')]);
        const { seen, stop } = await collect(log, topic, 'g');
        await expect.poll(() => seen.length, wait).toBe(2);
        await stop();
      }
      await using log = await place.open();
      await log.publish(topic, [record('three')]);
      const { seen, stop } = await collect(log, topic, 'g');
      await expect.poll(() => text(seen), wait).toEqual(['three']);
      await stop();
    });

    it('gives what was not taken to the next reader', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      await log.publish(topic, [record('one')]);
      const offered = Promise.withResolvers<void>();
      const first = await log.subscribe({
        topic,
        group: 'g',
        onBatch: async (_records, signal) => {
          offered.resolve();
          await new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('stopped')));
          });
        },
      });
      await offered.promise;
      await first[Symbol.asyncDispose]();
      const { seen, stop } = await collect(log, topic, 'g');
      await expect.poll(() => text(seen), wait).toEqual(['one']);
      await stop();
    });

    it('gives each group everything, and each record to one member of a group', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      const members = [await collect(log, topic, 'shared'), await collect(log, topic, 'shared')];
      const other = await collect(log, topic, 'other');
      const expected = Array.from({ length: 50 }, (_, index) => `v${index}`);
      for (const value of expected) await log.publish(topic, [record(value, value)]);
      await expect.poll(() => other.seen.length, wait).toBe(50);
      await expect
        .poll(() => members.flatMap(({ seen }) => text(seen)).toSorted(), wait)
        .toEqual(expected.toSorted());
      for (const { stop } of [...members, other]) await stop();
    });

    it('hands a group over to the member that is left', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      const [leaver, stayer] = [await collect(log, topic, 'g'), await collect(log, topic, 'g')];
      await log.publish(topic, [record('one')]);
      await expect.poll(() => [...leaver.seen, ...stayer.seen].length, wait).toBe(1);
      await leaver.stop();
      await log.publish(topic, [record('two')]);
      await expect.poll(() => text([...leaver.seen, ...stayer.seen]), wait).toEqual(['one', 'two']);
      await stayer.stop();
    });

    it('refuses what is too large as a whole, and goes on', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      const large = { key: 'k', headers: {}, value: randomBytes(1_200_000) };
      await expect(log.publish(topic, [record('with it'), large])).rejects.toMatchObject({
        code: 'EVENT_LOG_TOO_LARGE',
      });
      await log.publish(topic, [record('next')]);
      const { seen, stop } = await collect(log, topic, 'g');
      await expect.poll(() => text(seen), wait).toEqual(['next']);
      await stop();
    });

    it('takes batches of the largest size and hands out what memory can hold', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      const value = randomBytes(256 * 1024);
      for (let sent = 0; sent < 12; sent += 1)
        await log.publish(
          topic,
          [0, 1].map(() => ({ key: 'k', headers: {}, value })),
        );
      const sizes: number[] = [];
      await using _subscription = await log.subscribe({
        topic,
        group: 'g',
        onBatch: async (records) =>
          void sizes.push(records.reduce((sum, one) => sum + one.value.length, 0)),
      });
      await expect
        .poll(() => sizes.reduce((sum, size) => sum + size, 0), wait)
        .toBe(24 * value.length);
      expect(Math.max(...sizes)).toBeLessThan(4 * 1024 * 1024);
    });

    it('does not call itself failing for a reader that refuses a batch', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      let tries = 0;
      await using subscription = await log.subscribe({
        topic,
        group: 'g',
        onBatch: async () => {
          tries += 1;
          if (tries < 3) throw new Error('not now');
        },
      });
      await log.publish(topic, [record('a')]);
      const states = new Set<boolean>();
      await expect
        .poll(() => {
          states.add(subscription.isFailing());
          return tries;
        }, wait)
        .toBe(3);
      expect([...states]).toEqual([false]);
    });

    it('says how far a reader is behind: not at all once all is taken', async () => {
      await using log = await place.open();
      const topic = await place.newTopic();
      const gate = Promise.withResolvers<void>();
      let taken = 0;
      await using subscription = await log.subscribe({
        topic,
        group: 'g',
        onBatch: async (records) => {
          await gate.promise;
          taken += records.length;
        },
      });
      expect(subscription.lag()).toEqual({ records: 0, behindMs: 0 });
      await log.publish(topic, [record('a'), record('b'), record('c')]);
      await expect.poll(() => subscription.lag().records, wait).toBe(3);
      const { behindMs } = subscription.lag();
      expect(behindMs).toBeGreaterThan(0);
      await expect.poll(() => subscription.lag().behindMs, wait).toBeGreaterThan(behindMs + 100);
      gate.resolve();
      await expect.poll(() => taken, wait).toBe(3);
      await expect.poll(() => subscription.lag(), wait).toEqual({ records: 0, behindMs: 0 });
    });

    it('refuses to publish once it is closed', async () => {
      const log = await place.open();
      await log[Symbol.asyncDispose]();
      await expect(log.publish(await place.newTopic(), [record('late')])).rejects.toMatchObject({
        kind: 'unavailable',
      });
    });
  });
}
