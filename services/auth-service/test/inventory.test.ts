import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { readOutboxBounds } from '../src/store/outbox.js';
import {
  engines,
  joinAgent,
  registerTargets,
  startWithAdministrator,
  type EnrolledService,
  type LoggedIn,
  type TestCluster,
} from './support.js';

const nodes = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({
    kind: 'node',
    name: `${prefix}-${index}`,
    labels: { env: 'staging' },
    protocol: 'ssh',
    specJson: '{"address":"127.0.0.1:22"}',
  }));

describe.each(engines)('targets of agents on %s', (engine) => {
  let stack: AsyncDisposableStack;
  let cluster: TestCluster;
  let ada: LoggedIn;
  let tunnel: EnrolledService;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    ({ cluster, ada } = await startWithAdministrator(engine, stack));
    tunnel = await cluster.enroll('tunnel');
  }, 180_000);
  afterAll(async () => stack.disposeAsync());

  const register = async (
    agent: Awaited<ReturnType<typeof joinAgent>>,
    targets: ReturnType<typeof nodes>,
  ) => registerTargets(tunnel, agent, { targets });
  const listed = async (search: string) => {
    const { targets } = await ada.admin.listTargets({ search, pageSize: 1_000 });
    return targets.map(({ name }) => name).toSorted();
  };
  const revisionOf = async (name: string) => {
    const { documentJson } = await ada.admin.getDocument({ kind: 'node', name });
    return (JSON.parse(documentJson) as { metadata: { revision: number } }).metadata.revision;
  };

  // An agent with thousands of targets kept every lock waiting until the last of them was written.
  it('let a lock come between those of one large registration', async () => {
    const agent = await joinAgent(cluster, { name: 'large' });
    const order: string[] = [];
    const registering = register(agent, nodes('large', 3_000)).then(() => order.push('registered'));
    await expect.poll(async () => listed('large-0')).toEqual(['large-0']);
    await ada.admin.createLock({ user: 'mallory', message: 'm' });
    order.push('locked');
    await registering;
    expect(order).toEqual(['locked', 'registered']);
  });

  // Batches that came after the agent's end left targets behind that nobody owned.
  it('are gone with an agent that is deleted while it registers', async () => {
    const agent = await joinAgent(cluster, { name: 'doomed' });
    const registering = register(agent, nodes('doomed', 3_000)).then(
      () => 'registered',
      (thrown: unknown) => String(thrown),
    );
    await expect.poll(async () => listed('doomed-0')).toEqual(['doomed-0']);
    await ada.admin.deleteDocument({ kind: 'agent', name: 'doomed' });
    expect(await registering).toContain('it is not known here');
    expect(await listed('doomed-')).toEqual([]);
  });

  it('are not written again where nothing differs, and change one by one where something does', async () => {
    const agent = await joinAgent(cluster, { name: 'same' });
    const targets = nodes('same', 250);
    await register(agent, targets);
    const before = await readOutboxBounds(cluster.store.database);
    expect((await register(agent, targets)).refused).toEqual([]);
    expect(await readOutboxBounds(cluster.store.database)).toEqual(before);
    const changed = targets.map((target, index) =>
      index === 7 ? { ...target, labels: { env: 'prod' } } : target,
    );
    await register(agent, changed.slice(0, 249));
    expect([await revisionOf('same-7'), await revisionOf('same-8')]).toEqual([2, 1]);
    expect(await listed('same-249')).toEqual([]);
    const after = await readOutboxBounds(cluster.store.database);
    expect(after.last - before.last).toBe(2);
  });

  // Whose a name is must not be decided on what another registration has changed since.
  it('belong to one of two agents that register the same names at once', async () => {
    const agents = [
      await joinAgent(cluster, { name: 'rival-a' }),
      await joinAgent(cluster, { name: 'rival-b' }),
    ];
    const targets = nodes('rival', 300);
    const answers = await Promise.all(agents.map(async (agent) => register(agent, targets)));
    const refused = answers.flatMap((answer) => answer.refused.map(({ name }) => name));
    expect(refused.toSorted()).toEqual(targets.map(({ name }) => name).toSorted());
    expect(await listed('rival-')).toHaveLength(300);
  });

  // Two tunnels of one agent may tell of different configurations: batches of both must not mix.
  it('are those of one registration where several of an agent come at once', async () => {
    const agent = await joinAgent(cluster, { name: 'twofold' });
    await Promise.all([
      register(agent, nodes('twofold-x', 250)),
      register(agent, nodes('twofold-y', 250)),
    ]);
    const names = await listed('twofold-');
    expect(names).toHaveLength(250);
    expect(new Set(names.map((name) => name.slice(0, 9))).size).toBe(1);
  });

  it('count once where a registration names one twice', async () => {
    const agent = await joinAgent(cluster, { name: 'echo' });
    const [first] = nodes('echo', 1);
    if (first === undefined) throw new Error('no target');
    const answer = await register(agent, [first, { ...first, name: 'ECHO-0' }]);
    expect(answer.refused).toEqual([{ kind: 'node', name: 'ECHO-0', reason: 'name_taken' }]);
    expect(await listed('echo-0')).toEqual(['echo-0']);
  });
});
