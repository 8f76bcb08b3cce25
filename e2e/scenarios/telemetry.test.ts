/** Tracing: off unless configured; on, a session is one trace whose id is in its events (OPS-14's core). */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { sessionEvents, waitForEvent } from '../stack/events.js';
import { startHome, type Home } from '../stack/home.js';
import { createAdmin, type Person } from '../stack/person.js';
import { eventually } from '../stack/run.js';

describe('tracing', () => {
  let home: Home;
  let ada: Person;
  const received: { path: string; body: Buffer }[] = [];
  const collector = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (chunk: Buffer) => parts.push(chunk));
    request.on('end', () => {
      received.push({ path: request.url ?? '', body: Buffer.concat(parts) });
      response.end();
    });
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
    const { port } = collector.address() as AddressInfo;
    home = await startHome({
      tracing: true,
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
        OTEL_METRICS_EXPORTER: 'none',
        OTEL_LOGS_EXPORTER: 'none',
        OTEL_BSP_SCHEDULE_DELAY: '200',
      },
    });
    ada = await createAdmin(home);
  });
  afterAll(async () => {
    await home[Symbol.asyncDispose]();
    collector.close();
  });

  it('gives each session a trace of its own, with its id in every event and its spans at the collector', async () => {
    const [target] = await ada.json<{ name: string; principals: string[] }[]>(['ls']);
    const ids: string[] = [];
    for (let round = 0; round < 2; round += 1) {
      const from = new Date().toISOString();
      expect((await ada.ssh([`${target?.principals[0]}@${target?.name}`, 'true'])).code).toBe(0);
      const ended = await waitForEvent(ada, { type: 'session.ended', user: 'ada', from });
      const started = (await sessionEvents(ada, ended.sessionId ?? ''))[0];
      ids.push(String((started as { traceId?: string } | undefined)?.traceId));
    }
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(ids[0]).not.toBe(ids[1]);
    await eventually('its spans', () => {
      const spans = Buffer.concat(
        received.filter(({ path }) => path === '/v1/traces').map(({ body }) => body),
      );
      return (
        spans.includes('proxy.session ssh') && spans.includes(Buffer.from(ids[0] ?? '', 'hex'))
      );
    });
  });
});
