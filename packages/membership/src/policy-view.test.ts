import { systemClock } from '@gatehouse/kit/clock';
import { createLogger } from '@gatehouse/kit/log';
import { expect, it, onTestFinished } from 'vitest';

import { watchPolicy, type PolicyChange } from './policy-view.js';
import { startTestAuth } from './testing.js';

const logger = createLogger({ name: 'test', level: 'silent' });

interface Told {
  readonly kind: string;
  readonly name: string;
  readonly document?: unknown;
}

/** A view of an auth-service whose snapshot is `told`. */
async function viewOf(told: readonly Told[]) {
  async function* watch(signal: AbortSignal) {
    yield { event: { $case: 'snapshotBegin' as const, value: {} } };
    for (const { kind, name, document } of told) {
      const documentJson = document === undefined ? '' : JSON.stringify(document);
      yield { event: { $case: 'change' as const, value: { kind, name, documentJson } } };
    }
    yield { event: { $case: 'snapshotEnd' as const, value: { id: 1n } } };
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }
  const stack = new AsyncDisposableStack();
  onTestFinished(async () => stack.disposeAsync());
  const auth = await startTestAuth(stack, { watch });
  const heard: PolicyChange[] = [];
  const view = stack.use(watchPolicy({ auth, kinds: ['lock'], clock: systemClock, logger }));
  view.onChange((change) => heard.push(change));
  await view.ready;
  return { view, heard };
}

it('tells of sessions that must end also where they come in a snapshot', async () => {
  const document = { reason: 'ended_by', by: 'ada' };
  const { heard } = await viewOf([{ kind: 'session_end', name: 'ses_1', document }]);
  expect(heard).toEqual([
    { kind: 'session_end', name: 'ses_1', document },
    { kind: 'snapshot', name: '' },
  ]);
});

it('knows when the account of a person was made; of one that does not say it, nothing', async () => {
  const spec = { roles: [] };
  const state = { validAfter: '2026-01-02T00:00:00Z', createdAt: '2026-01-01T00:00:00Z' };
  const { view } = await viewOf([
    { kind: 'user', name: 'ada', document: { spec, state } },
    { kind: 'user', name: 'bob', document: { spec } },
  ]);
  expect(view.user('ada')).toMatchObject({
    validAfterMs: Date.UTC(2026, 0, 2),
    createdAtMs: Date.UTC(2026, 0, 1),
  });
  expect(view.user('bob')).toMatchObject({ validAfterMs: 0, createdAtMs: 0 });
});

it('knows the agents of a group, and of all', async () => {
  const agent = { id: 'agt_1', name: 'web-a', group: 'web' };
  const other = { id: 'agt_2', name: 'db', group: 'agt_2' };
  const { view } = await viewOf(
    [agent, other].map((document) => ({ kind: 'agent', name: document.id, document })),
  );
  expect(view.agents('web')).toEqual([agent]);
  expect(view.agents('agt_2')).toEqual([other]);
  expect(view.agents()).toEqual([agent, other]);
  expect(view.agent('agt_1')).toEqual(agent);
});

it('keeps locks that it does not understand: those named stay locked, and it says so where nobody knows who', async () => {
  const lock = (target: object) => ({
    kind: 'lock',
    version: 'v1',
    metadata: { name: 'l' },
    spec: { target, since: 'a later version' },
  });
  const told = [{ kind: 'lock', name: 'l', document: lock({ user: 'alice' }) }];
  const { view } = await viewOf(told);
  expect(view.locks()).toMatchObject([{ name: 'l', target: { user: 'alice' } }]);
  expect(view.hasUnreadableLock()).toBe(false);
  const { view: other } = await viewOf([
    ...told,
    { kind: 'lock', name: 'k', document: lock({ device: 'x' }) },
  ]);
  expect(other.locks()).toHaveLength(2);
  expect(other.hasUnreadableLock()).toBe(true);
});
