import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  addPerson,
  applyYamlLike,
  devRole,
  engines,
  logIn,
  refusal,
  type LoggedIn,
  type TestCluster,
  type TestPerson,
  startWithAdministrator,
} from './support.js';

const notUnderstood = 'locked: a lock is not understood by this version of Gatehouse';

/** Documents as another version may have left them in the database: none of them can be applied. */
describe.each(engines)('documents that are not understood on %s', (engine) => {
  let stack: AsyncDisposableStack;
  let cluster: TestCluster;
  let ada: LoggedIn;
  let alice: TestPerson;
  let bob: TestPerson;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    ({ cluster, ada } = await startWithAdministrator(engine, stack));
    alice = await addPerson(cluster, ada, { name: 'alice', roles: ['dev'] });
    bob = await addPerson(cluster, ada, { name: 'bob', roles: ['dev'] });
  }, 180_000);
  afterAll(async () => stack.disposeAsync());

  /** Changes the spec of a stored document behind the service's back. */
  const rewrite = async (kind: string, name: string, change: (spec: object) => object) => {
    const { database } = cluster.store;
    const named = database
      .selectFrom('document')
      .select('body')
      .where('kind', '=', kind)
      .where('name', '=', name);
    const { body } = await named.executeTakeFirstOrThrow();
    const changed = { ...body, spec: change(body['spec'] as object) };
    await database
      .updateTable('document')
      .set({ body: JSON.stringify(changed) })
      .where('kind', '=', kind)
      .where('name', '=', name)
      .execute();
  };
  const degraded = async () => {
    const answer = await fetch(`${cluster.service.metricsUrl}/readyz`);
    return ((await answer.json()) as { degraded: string[] }).degraded;
  };
  const nameOf = (documentJson: string) =>
    (JSON.parse(documentJson) as { metadata: { name: string } }).metadata.name;

  it('keep those locked whom a lock names, and nobody else', async () => {
    const { documentJson } = await ada.admin.createLock({ user: 'alice', message: 'incident 7' });
    const name = nameOf(documentJson);
    await rewrite('lock', name, (spec) => ({ ...spec, since: 'a later version' }));
    expect(await refusal(logIn(cluster, alice))).toMatchObject({
      code: 'PERSON_LOCKED',
      message: 'locked: incident 7',
    });
    await logIn(cluster, bob);
    expect(await degraded()).not.toContain('locks');
    await ada.admin.deleteDocument({ kind: 'lock', name });
  });

  it('keep everybody out where a lock may name anybody, except those who can mend it', async () => {
    const person = await logIn(cluster, bob);
    const { documentJson } = await ada.admin.createLock({ user: 'nobody' });
    const name = nameOf(documentJson);
    await rewrite('lock', name, () => ({ target: { device: 'x' } }));
    expect(await refusal(person.login.getSelf({}))).toMatchObject({ message: notUnderstood });
    cluster.clock.advance(31_000);
    expect(await refusal(logIn(cluster, bob))).toMatchObject({ message: notUnderstood });
    await expect.poll(degraded).toContain('locks');
    await expect
      .poll(() => cluster.logLines.filter((line) => line.includes('lock is not understood')).length)
      .toBeGreaterThan(0);
    await ada.admin.deleteDocument({ kind: 'lock', name });
    await expect.poll(degraded).not.toContain('locks');
    expect((await person.login.getSelf({})).self?.user).toBe('bob');
  });

  it('give nothing to those who have a role of which the limits are not known', async () => {
    const person = await logIn(cluster, bob);
    await rewrite('role', 'dev', (spec) => ({ ...spec, deny: { of_a_later_version: ['x'] } }));
    const why = { code: 'ROLE_UNREADABLE', kind: 'failed_precondition' };
    expect(await refusal(person.login.getSelf({}))).toMatchObject(why);
    cluster.clock.advance(31_000);
    expect(await refusal(logIn(cluster, bob))).toMatchObject(why);
    const failures = await cluster.events('login.failed');
    expect(failures.at(-1)).toMatchObject({ outcome: 'denied', reason: 'role_unreadable' });
    await applyYamlLike(ada, devRole);
    expect((await person.login.getSelf({})).self?.user).toBe('bob');
  });

  it('are not made by applying a lock too large to be told again and again', async () => {
    const lock = {
      kind: 'lock',
      version: 'v1',
      metadata: { name: 'large', description: 'x'.repeat(1_000) },
      spec: { target: { user: 'nobody' }, message: '\u{1f512}'.repeat(512) },
    };
    await applyYamlLike(ada, lock);
    const labels = Object.fromEntries(
      Array.from({ length: 64 }, (_, index) => [`label${index}`, 'x'.repeat(256)]),
    );
    const larger = { ...lock, metadata: { ...lock.metadata, labels } };
    expect(await refusal(applyYamlLike(ada, larger))).toMatchObject({
      code: 'DOCUMENT_INVALID',
      message: expect.stringContaining('longer than 16384 bytes') as string,
    });
    await ada.admin.deleteDocument({ kind: 'lock', name: 'large' });
  });
});
