import { createId } from '@gatehouse/kit/ids';
import { ReportSessionsRequest } from '@gatehouse/proto/auth/v1/cluster_service';
import { expect, it } from 'vitest';

import { toReportParts, type ReportedSession } from './report-parts.js';
import { alice } from './testing.js';

const session = (): ReportedSession => ({
  id: createId('ses'),
  identity: { ...alice, user: 'u'.repeat(256) },
  principal: 'p'.repeat(256),
  clientAddress: '[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535',
  startedAtMs: 1,
  target: { kind: 'node', name: 't'.repeat(256) },
  protocol: { name: 'ssh' },
});

it('says nothing in one message', () => {
  const [part, ...more] = toReportParts('srv_1', { started: [], ended: [], completeAtMs: 5 });
  expect(more).toEqual([]);
  expect(part).toMatchObject({ complete: true, takenAt: new Date(5), afterId: '', untilId: '' });
  expect(toReportParts('srv_1', { started: [], ended: [] })).toMatchObject([
    { complete: false, takenAt: undefined },
  ]);
});

it('tells 12,345 sessions in messages that auth-service takes, whose ranges of ids meet', () => {
  const started = Array.from({ length: 12_345 }, session).toReversed();
  const ended = Array.from({ length: 20_001 }, () => createId('ses'));
  const parts = toReportParts('srv_1', { started, ended, completeAtMs: 5 });
  const complete = parts.filter((part) => part.complete);
  expect(complete.flatMap((part) => part.started.map(({ id }) => id))).toEqual(
    started.map(({ id }) => id).toSorted(),
  );
  expect(parts.flatMap((part) => part.ended)).toEqual(ended);
  expect(complete[0]?.afterId).toBe('');
  expect(complete.at(-1)?.untilId).toBe('');
  for (const [index, part] of complete.slice(1).entries()) {
    expect(part.afterId).toBe(complete[index]?.untilId);
    expect(part.afterId).not.toBe('');
  }
  for (const part of parts) {
    expect(part.started.length).toBeLessThanOrEqual(10_000);
    expect(ReportSessionsRequest.encode(part).finish().length).toBeLessThan(4 << 20);
  }
});
