/** Tracing: off unless configured; on, a session is one trace whose id is in its events (OPS-14; in a cluster: cluster.alone.test.ts). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startCollector, type Collector } from '../stack/collector.js';
import { sessionEvents, waitForEvent } from '../stack/events.js';
import { startHome, type Home } from '../stack/home.js';
import { createAdmin, type Person } from '../stack/person.js';
import { eventually } from '../stack/run.js';

describe('tracing', () => {
  let home: Home;
  let ada: Person;
  let collector: Collector;
  beforeAll(async () => {
    collector = await startCollector();
    home = await startHome({ tracing: true, env: collector.environment });
    ada = await createAdmin(home);
  });
  afterAll(async () => {
    await home?.[Symbol.asyncDispose]();
    await collector?.[Symbol.asyncDispose]();
  });

  it('gives each session a trace of its own, with its id in every event and its spans at the collector', async () => {
    const [target] = await ada.json<{ name: string; principals: string[] }[]>(['ls']);
    const ids: string[] = [];
    for (let round = 0; round < 2; round += 1) {
      const from = new Date().toISOString();
      expect((await ada.ssh([`${target?.principals[0]}@${target?.name}`, 'true'])).code).toBe(0);
      const ended = await waitForEvent(ada, { type: 'session.ended', user: 'ada', from });
      const events = await sessionEvents(ada, ended.sessionId ?? '');
      const [id = '', ...others] = new Set(events.map(({ traceId }) => traceId));
      expect(others).toEqual([]);
      expect(id).toMatch(/^[0-9a-f]{32}$/);
      ids.push(id);
    }
    expect(ids[0]).not.toBe(ids[1]);
    for (const id of ids)
      await eventually('its spans', () => {
        const names = collector.spans
          .filter(({ traceId }) => traceId === id)
          .map((one) => one.name);
        return names.includes('proxy.session ssh') && names.includes('agent.dial ssh');
      });
  });
});
