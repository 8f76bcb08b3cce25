import { expect, it, onTestFinished } from 'vitest';

import { openPlace, startAudit, type TestAudit } from './support.js';

async function start() {
  const place = await openPlace('PostgreSQL');
  onTestFinished(async () => place[Symbol.asyncDispose]());
  const audit = await startAudit(place);
  onTestFinished(async () => audit[Symbol.asyncDispose]());
  return { place, audit };
}

async function ready({ service }: TestAudit) {
  const answer = await fetch(`${service.metricsUrl}/readyz`);
  return { status: answer.status, body: (await answer.json()) as object };
}

it('is ready but degraded while its database or the event log is away, as all replicas are', async () => {
  const { place, audit } = await start();
  expect(await ready(audit)).toEqual({
    status: 200,
    body: { status: 'ready', reasons: [], degraded: [] },
  });
  audit.broker.isAway = true;
  expect(await ready(audit)).toMatchObject({ status: 200, body: { degraded: ['kafka'] } });
  audit.broker.isAway = false;
  expect(await ready(audit)).toMatchObject({ status: 200, body: { degraded: [] } });
  await place[Symbol.asyncDispose]();
  await expect
    .poll(async () => ready(audit))
    .toMatchObject({ status: 200, body: { degraded: ['database'] } });
  const metrics = await (await fetch(`${audit.service.metricsUrl}/metrics`)).text();
  expect(metrics).toMatch(/gatehouse_database_up.* 0\b/);
});

it('is not ready once its certificate has ended', async () => {
  const { audit } = await start();
  audit.policy.isExpired = true;
  expect(await ready(audit)).toMatchObject({
    status: 503,
    body: { status: 'not_ready', reasons: ['certificate_expired'] },
  });
});
