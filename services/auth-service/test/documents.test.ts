import { createHash } from 'node:crypto';

import { createId } from '@gatehouse/kit/ids';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { dumpDatabase, readColumns } from '../src/store/testing.js';
import {
  acceptInvite,
  addPerson,
  engines,
  joinAgent,
  logIn,
  password,
  refusal,
  type EnrolledService,
  type LoggedIn,
  type TestCluster,
  startWithAdministrator,
} from './support.js';

const role = (name: string, spec: object = { allow: {} }) => ({
  kind: 'role',
  version: 'v1',
  metadata: { name },
  spec,
});

describe.each(engines)('documents on %s', (engine) => {
  let stack: AsyncDisposableStack;
  let cluster: TestCluster;
  let ada: LoggedIn;
  let alice: LoggedIn;
  let mallory: LoggedIn;
  let proxy: EnrolledService;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    ({ cluster, ada } = await startWithAdministrator(engine, stack));
    alice = await logIn(cluster, await addPerson(cluster, ada, { name: 'alice', roles: ['dev'] }));
    mallory = await logIn(cluster, await addPerson(cluster, ada, { name: 'mallory', roles: [] }));
    proxy = await cluster.enroll('proxy');
    const tunnel = await cluster.enroll('tunnel');
    const agent = await joinAgent(cluster, { name: 'a1' });
    const targets = [
      { name: 'web-1', env: 'staging' },
      { name: 'web-2', env: 'prod' },
    ].map(({ name, env }) => ({
      kind: 'node',
      name,
      labels: { env },
      protocol: 'ssh',
      specJson: '{"address":"127.0.0.1:22"}',
    }));
    await tunnel.cluster.registerAgent({
      agentId: agent.agentId,
      certificateFingerprint: createHash('sha256').update(agent.keys.certificate).digest(),
      targets,
      dynamic: ['dyn-*', '*ü*', '*.*', 'x*'],
    });
  }, 180_000);
  afterAll(async () => stack.disposeAsync());

  const apply = async (document: object, options: { dryRun?: boolean } = {}) =>
    ada.admin.applyDocument({
      documentJson: JSON.stringify(document),
      dryRun: options.dryRun ?? false,
    });
  const read = async (kind: string, name: string) =>
    JSON.parse((await ada.admin.getDocument({ kind, name })).documentJson) as {
      metadata: { revision: number };
    };

  it('says created, unchanged and updated, and writes one event for each change', async () => {
    const results = [];
    for (const document of [role('a'), role('a'), role('a', { allow: { logins: ['x'] } })]) {
      results.push((await apply(document)).result);
    }
    expect(results).toEqual(['created', 'unchanged', 'updated']);
    const events = (await cluster.events()).filter((event) => event.target?.name === 'a');
    expect(events.map((event) => [event.type, event.data['revision'], event.actor.name])).toEqual([
      ['resource.created', 1, 'ada'],
      ['resource.updated', 2, 'ada'],
    ]);
  });

  it('takes back what it gave without a change', async () => {
    for (const [kind, name] of [
      ['user', 'alice'],
      ['role', 'dev'],
      ['node', 'web-1'],
      ['cluster_auth_preference', ''],
    ] as const) {
      expect((await apply(await read(kind, name))).result, kind).toBe(
        kind === 'cluster_auth_preference' ? 'created' : 'unchanged',
      );
    }
    await ada.admin.deleteDocument({ kind: 'cluster_auth_preference', name: 'cluster' });
  });

  // It was taken, and locked nothing.
  // The one administrator could lock himself out, and nobody was left to lift it.
  it('takes no lock that leaves nobody who could lift it', async () => {
    for (const target of [{ user: 'ada' }, { role: 'admin' }])
      expect(await refusal(ada.admin.createLock(target))).toMatchObject({
        code: 'LAST_ADMINISTRATOR',
      });
    await addPerson(cluster, ada, { name: 'eve', roles: ['admin'] });
    const { documentJson } = await ada.admin.createLock({ user: 'eve' });
    expect(await refusal(ada.admin.createLock({ user: 'ada' }))).toMatchObject({
      code: 'LAST_ADMINISTRATOR',
    });
    const { name } = (JSON.parse(documentJson) as { metadata: { name: string } }).metadata;
    await ada.admin.deleteDocument({ kind: 'lock', name });
    await ada.admin.deleteDocument({ kind: 'user', name: 'eve' });
  });

  it('takes no lock on a second factor, which nothing can be named by yet', async () => {
    expect(await refusal(ada.admin.createLock({ mfaDevice: 'totp', message: 'm' }))).toMatchObject({
      code: 'DOCUMENT_INVALID',
      message: expect.stringContaining('mfa_device is not available yet') as string,
    });
    expect(
      await refusal(
        apply({
          kind: 'lock',
          version: 'v1',
          metadata: { name: 'device' },
          spec: { target: { mfa_device: 'totp' } },
        }),
      ),
    ).toMatchObject({
      code: 'DOCUMENT_INVALID',
    });
  });

  it('takes no role that asks for what is not there yet', async () => {
    const endToEnd = role('e2e', { options: { ssh_session: 'end_to_end' } });
    expect(await refusal(apply(endToEnd, { dryRun: true }))).toMatchObject({
      code: 'DOCUMENT_INVALID',
      message: expect.stringContaining('ssh_session: end_to_end is not available yet') as string,
    });
    await apply(role('e2e', { options: { ssh_session: 'inspect' } }));
  });

  it('refuses an old revision and changes nothing at a dry run', async () => {
    await apply(role('rev'));
    const first = await read('role', 'rev');
    await apply(role('rev', { allow: { logins: ['one'] } }));
    expect(
      await refusal(
        apply({ ...role('rev'), metadata: { name: 'rev', revision: first.metadata.revision } }),
      ),
    ).toMatchObject({
      kind: 'conflict',
    });
    const dry = await apply(role('rev', { allow: { logins: ['two'] } }), { dryRun: true });
    expect(dry.result).toBe('updated');
    expect(dry.previousJson).toContain('one');
    expect(JSON.stringify(await read('role', 'rev'))).toContain('one');
    expect(
      await refusal(apply({ ...role('new'), metadata: { name: 'new', revision: 3 } })),
    ).toMatchObject({ kind: 'conflict' });
  });

  it('applies several documents all or none', async () => {
    const good = JSON.stringify(role('batch'));
    const bad = JSON.stringify({
      kind: 'user',
      version: 'v1',
      metadata: { name: 'batcher' },
      spec: { roles: ['missing'] },
    });
    const using = JSON.stringify({
      kind: 'user',
      version: 'v1',
      metadata: { name: 'batcher' },
      spec: { roles: ['batch'] },
    });
    expect(await refusal(ada.admin.applyDocuments({ documentsJson: [good, bad] }))).toMatchObject({
      kind: 'invalid_argument',
      message: expect.stringContaining('spec.roles: no role "missing"') as string,
    });
    expect(await refusal(ada.admin.getDocument({ kind: 'role', name: 'batch' }))).toMatchObject({
      kind: 'not_found',
    });
    const { results } = await ada.admin.applyDocuments({ documentsJson: [good, using] });
    expect(results.map((one) => one.result)).toEqual(['created', 'created']);
  });

  it.each([
    ['an unknown field', { ...role('bad'), spec: { allow: {}, extra: 1 } }, 'spec.extra'],
    ['an unknown field of the envelope', { ...role('bad'), other: 1 }, 'other: unknown field'],
    ['a wrong type', { ...role('bad'), spec: { allow: { logins: 'root' } } }, 'spec.allow.logins'],
    [
      'a bad pattern',
      { ...role('bad'), spec: { allow: { node_labels: { env: '^(' } } } },
      'spec.allow.node_labels',
    ],
    ['another version', { ...role('bad'), version: 'v2' }, 'version'],
    ['an unknown kind', { ...role('bad'), kind: 'thing' }, 'kind: "thing" is not known'],
    ['a token', { ...role('bad'), kind: 'token' }, 'gate tokens add'],
    [
      'NUL in a text',
      { ...role('bad'), metadata: { name: 'bad', description: 'a\0b' } },
      'metadata.description',
    ],
    [
      'a lone surrogate',
      { ...role('bad'), metadata: { name: 'bad', description: '\ud800' } },
      'metadata.description',
    ],
    [
      'two subjects of a lock',
      {
        kind: 'lock',
        version: 'v1',
        metadata: { name: 'l' },
        spec: { target: { user: 'a', role: 'b' } },
      },
      'spec.target',
    ],
    [
      'a lock in the past',
      {
        kind: 'lock',
        version: 'v1',
        metadata: { name: 'l' },
        spec: { target: { user: 'a' }, expires_at: '2020-01-01T00:00:00Z' },
      },
      'expires_at',
    ],
    [
      'a label "name"',
      {
        kind: 'node',
        version: 'v1',
        metadata: { name: 'dyn-1', labels: { name: 'x' } },
        spec: { agent: 'a1', address: 'h:22' },
      },
      'metadata.labels',
    ],
    [
      'a target without an agent',
      { kind: 'node', version: 'v1', metadata: { name: 'dyn-1' }, spec: { address: 'h:22' } },
      'spec.agent',
    ],
  ])('refuses %s and names the field', async (_what, document, path) => {
    expect(await refusal(apply(document))).toMatchObject({
      kind: 'invalid_argument',
      message: expect.stringContaining(path) as string,
    });
  });

  it('takes node names with dots, other scripts and 63 characters, and no others', async () => {
    const node = (name: string) => ({
      kind: 'node',
      version: 'v1',
      metadata: { name },
      spec: { agent: 'a1', address: 'h:22' },
    });
    for (const name of ['dyn-a.b', 'ünïcode', `x${'y'.repeat(62)}`])
      expect((await apply(node(name))).result).toBe('created');
    for (const name of [
      'dyn- b',
      'dyn-/b',
      'dyn-\\b',
      'dyn-\n',
      'dyn-..',
      'x'.repeat(200),
      'DYN-A.B',
      '',
    ]) {
      expect(await refusal(apply(node(name))), name).toMatchObject({ kind: 'invalid_argument' });
    }
    expect(await refusal(apply(node('elsewhere')))).toMatchObject({ kind: 'permission_denied' });
  });

  it('lets nobody do without a rule what needs one, and says which', async () => {
    const calls: ((who: LoggedIn) => Promise<unknown>)[] = [
      async (who) => who.admin.getDocument({ kind: 'role', name: 'dev' }),
      async (who) => who.admin.listDocuments({ kind: 'user' }),
      async (who) => who.admin.applyDocument({ documentJson: JSON.stringify(role('mine')) }),
      async (who) => who.admin.deleteDocument({ kind: 'role', name: 'dev' }),
      async (who) => who.admin.createUserInvite({ user: 'evil', roles: ['admin'] }),
      async (who) => who.admin.resetUser({ user: 'ada' }),
      async (who) => who.admin.createJoinToken({}),
      async (who) => who.admin.createLock({ user: 'ada' }),
      async (who) => who.admin.listAgents({}),
      async (who) => who.admin.explainAccess({ user: 'ada', target: 'web-1', login: 'root' }),
    ];
    for (const call of calls)
      expect(await refusal(call(alice))).toMatchObject({ kind: 'permission_denied' });
    expect(
      JSON.parse((await alice.admin.getDocument({ kind: 'user', name: 'alice' })).documentJson),
    ).toMatchObject({ kind: 'user' });
    await ada.admin.listAgents({});
  });

  it('gives and takes a rule at once', async () => {
    const carol = await logIn(
      cluster,
      await addPerson(cluster, ada, { name: 'carol', roles: ['auditor', 'a'] }),
    );
    const ask = async () => carol.admin.getDocument({ kind: 'role', name: 'dev' });
    await refusal(ask());
    await apply(role('a', { allow: { rules: [{ kinds: ['role'], verbs: ['read'] }] } }));
    await ask();
    await apply(role('a'));
    await refusal(ask());
  });

  it('keeps built-in roles and the last administrator', async () => {
    expect(await refusal(apply(role('admin')))).toMatchObject({ kind: 'failed_precondition' });
    expect(await refusal(ada.admin.deleteDocument({ kind: 'role', name: 'access' }))).toMatchObject(
      { kind: 'failed_precondition' },
    );
    expect(await refusal(ada.admin.deleteDocument({ kind: 'user', name: 'ada' }))).toMatchObject({
      kind: 'failed_precondition',
    });
    const demoted = {
      kind: 'user',
      version: 'v1',
      metadata: { name: 'ada' },
      spec: { roles: ['access'] },
    };
    expect(await refusal(apply(demoted))).toMatchObject({ kind: 'failed_precondition' });
  });

  it('takes a deleted role from everybody who had it, so that a later one does not come back to them', async () => {
    await apply(role('temp'));
    await addPerson(cluster, ada, { name: 'temporary', roles: ['temp', 'dev'] });
    await ada.admin.deleteDocument({ kind: 'role', name: 'temp' });
    await apply(role('temp'));
    expect(await read('user', 'temporary')).toMatchObject({ spec: { roles: ['dev'] } });
  });

  it('refuses certificates of a deleted person, also once the name is given anew', async () => {
    const first = await logIn(
      cluster,
      await addPerson(cluster, ada, { name: 'reused', roles: ['dev'] }),
    );
    await ada.admin.deleteDocument({ kind: 'user', name: 'reused' });
    expect(await refusal(first.login.getSelf({}))).toMatchObject({ kind: 'unauthenticated' });
    const second = await logIn(
      cluster,
      await addPerson(cluster, ada, { name: 'reused', roles: ['dev'] }),
    );
    expect(await refusal(first.login.getSelf({}))).toMatchObject({ kind: 'unauthenticated' });
    await second.login.getSelf({});
  });

  it('resets a person: nothing from before counts, the link sets everything anew and works once', async () => {
    const person = await addPerson(cluster, ada, { name: 'reset', roles: ['dev'] });
    const before = await logIn(cluster, person);
    const link = await ada.admin.resetUser({ user: 'reset' });
    expect(await refusal(before.login.getSelf({}))).toMatchObject({ kind: 'unauthenticated' });
    await refusal(logIn(cluster, person));
    const { login } = await cluster.person();
    expect(await login.getInvite({ token: link.token })).toMatchObject({
      user: 'reset',
      reset: true,
      roles: ['dev'],
    });
    const again = await acceptInvite(cluster, {
      token: link.token,
      name: '',
      password: 'another long passphrase',
    });
    expect(again.totpUri).not.toBe(person.totpUri);
    await logIn(cluster, again);
    await refusal(logIn(cluster, { ...again, password }));
  });

  it('answers a used, altered, expired, revoked and foreign link with one text', async () => {
    const at = (await cluster.events('login.failed')).length;
    const used = await ada.admin.createUserInvite({ user: 'zoe', roles: ['dev'] });
    expect(used.inviteUrl).toBe(`https://localhost:8443/invite/${used.token}`);
    await acceptInvite(cluster, { token: used.token, name: '' });
    const revoked = await ada.admin.resetUser({ user: 'zoe' });
    const fresh = await ada.admin.resetUser({ user: 'zoe' });
    const { token: foreign } = await ada.admin.createJoinToken({});
    const { login } = await cluster.person(undefined, '192.0.2.200');
    for (const token of [used.token, `${fresh.token}x`, revoked.token, foreign, '']) {
      expect(await refusal(login.getInvite({ token }))).toMatchObject({
        kind: 'not_found',
        message: 'this link is not valid',
      });
      expect(await refusal(login.acceptInvite({ token, password }))).toMatchObject({
        message: 'this link is not valid',
      });
    }
    const reasons = (await cluster.events('login.failed')).slice(at).map((event) => event.reason);
    expect(reasons).toContain('link');
    await login.getInvite({ token: fresh.token });
  });

  it('shows each person the targets they may see, with the logins they may use, in lists and pages that betray no more', async () => {
    expect((await alice.admin.listTargets({})).targets).toMatchObject([
      { name: 'web-1', principals: ['deploy'] },
    ]);
    expect((await mallory.admin.listTargets({})).targets).toEqual([]);
    const names = (await ada.admin.listTargets({ kind: 'node' })).targets.map(
      (target) => target.name,
    );
    expect(names).toEqual(expect.arrayContaining(['web-1', 'web-2']));
    expect(
      (await ada.admin.listTargets({ labels: { env: 'prod' } })).targets.map(
        (target) => target.name,
      ),
    ).toEqual(['web-2']);
    expect((await ada.admin.listTargets({ search: 'WEB-1' })).targets).toHaveLength(1);
    const page = await ada.admin.listTargets({ pageSize: 2 });
    expect(page.targets).toHaveLength(2);
    expect(page.nextPageToken).not.toBe('');
    expect((await alice.admin.listTargets({ pageSize: 1 })).nextPageToken).toBe('');
    expect(
      await refusal(alice.admin.listTargets({ pageSize: 2, pageToken: page.nextPageToken })),
    ).toMatchObject({ kind: 'invalid_argument' });
    expect(
      await refusal(ada.admin.listTargets({ search: 'x', pageToken: page.nextPageToken })),
    ).toMatchObject({ kind: 'invalid_argument' });
    expect(await refusal(ada.admin.listTargets({ pageToken: 'made.up' }))).toMatchObject({
      kind: 'invalid_argument',
    });
  });

  it('lists every document once while others come and go between pages', async () => {
    const names = Array.from(
      { length: 30 },
      (_, index) => `page-${String(index).padStart(2, '0')}`,
    );
    await ada.admin.applyDocuments({
      documentsJson: names.map((name) => JSON.stringify(role(name))),
    });
    const seen: string[] = [];
    let pageToken = '';
    for (let page = 0; ; page += 1) {
      const answer = await ada.admin.listDocuments({ kind: 'role', pageSize: 7, pageToken });
      seen.push(
        ...answer.documentsJson.map(
          (json) => (JSON.parse(json) as { metadata: { name: string } }).metadata.name,
        ),
      );
      pageToken = answer.nextPageToken;
      if (pageToken === '') break;
      await apply(role(`page-extra-${page}`));
      await ada.admin.deleteDocument({ kind: 'role', name: `page-extra-${page}` });
    }
    expect(seen.filter((name) => names.includes(name))).toEqual(names);
  });

  it('explains why somebody may or may not', async () => {
    const yes = await ada.admin.explainAccess({ user: 'alice', target: 'web-1', login: 'deploy' });
    expect(yes).toMatchObject({ allowed: true });
    const no = await ada.admin.explainAccess({ user: 'alice', target: 'web-1', login: 'root' });
    expect(no).toMatchObject({ allowed: false, reason: 'login_not_allowed_here' });
    expect(no.lines.join('\n')).toContain('dev');
    expect(
      await ada.admin.explainAccess({ user: 'alice', target: 'nope', login: 'x' }),
    ).toMatchObject({ reason: 'no_target' });
  });

  it('ends a lock when its time has come, with an event', async () => {
    const { documentJson } = await ada.admin.createLock({
      user: 'ALICE',
      message: 'short',
      ttl: { seconds: 5n, nanos: 0 },
    });
    const lock = JSON.parse(documentJson) as {
      metadata: { name: string };
      spec: { target: object };
    };
    expect(lock.spec.target).toEqual({ user: 'alice' });
    expect(await refusal(alice.login.getSelf({}))).toMatchObject({
      kind: 'failed_precondition',
      message: 'locked: short',
    });
    cluster.clock.advance(6_000);
    await alice.login.getSelf({});
    await expect
      .poll(
        async () =>
          (await cluster.events('lock.deleted')).filter(
            (event) => event.target?.name === lock.metadata.name,
          ),
        { timeout: 15_000 },
      )
      .toMatchObject([{ reason: 'expired' }]);
  });

  it('shows people their own sessions only and ends them for those who may', async () => {
    const session = (user: string, loginId = '') => ({
      id: createId('ses'),
      protocol: 'ssh',
      user,
      target: 'web-1',
      targetKind: 'node',
      principal: 'deploy',
      loginId,
      clientAddress: '192.0.2.1:5',
    });
    const [own, other] = [session('alice'), session('bob')];
    await proxy.cluster.reportSessions({ started: [own, other], complete: true });
    expect((await alice.admin.listSessions({})).sessions).toMatchObject([
      { id: own.id, replica: proxy.id },
    ]);
    expect((await mallory.admin.listSessions({})).sessions).toEqual([]);
    expect((await ada.admin.listSessions({})).sessions).toHaveLength(2);
    expect(await refusal(alice.admin.endSession({ id: other.id }))).toMatchObject({
      kind: 'not_found',
    });
    expect(await refusal(alice.admin.endSession({ id: createId('ses') }))).toMatchObject({
      kind: 'not_found',
    });
    await alice.admin.endSession({ id: own.id });
    await ada.admin.endSession({ id: other.id });
    await proxy.cluster.reportSessions({ ended: [own.id, other.id] });
    expect((await ada.admin.listSessions({})).sessions).toEqual([]);
  });

  // After an outage a proxy tells all at once; a report that can't be stored would cost it its lease, again and again.
  it('takes all sessions of a busy proxy in one report', async () => {
    const busy = await cluster.enroll('proxy');
    const started = Array.from({ length: 7_000 }, () => ({ id: createId('ses'), user: 'busy' }));
    await busy.cluster.reportSessions({ started, complete: true });
    await busy.cluster.reportSessions({ ended: started.map(({ id }) => id), complete: true });
    expect((await ada.admin.listSessions({})).sessions).toEqual([]);
  });

  it('takes a complete report in parts, and leaves alone what began after it was made', async () => {
    const busy = await cluster.enroll('proxy');
    const startedAt = new Date('2026-01-01T00:00:00Z');
    const takenAt = new Date('2026-01-01T00:00:01Z');
    const session = (at = startedAt) => ({ id: createId('ses'), user: 'parts', startedAt: at });
    const [gone1, kept1, kept2, gone2] = [session(), session(), session(), session()];
    const late = session(takenAt);
    await busy.cluster.reportSessions({ started: [gone1, kept1, kept2, gone2, late] });
    const live = async () =>
      (await ada.admin.listSessions({})).sessions.map(({ id }) => id).toSorted();
    const complete = { complete: true, takenAt };
    await busy.cluster.reportSessions({ ...complete, started: [kept1], untilId: kept1.id });
    expect(await live()).toEqual([kept1.id, kept2.id, gone2.id, late.id]);
    await busy.cluster.reportSessions({ ...complete, started: [kept2], afterId: kept1.id });
    expect(await live()).toEqual([kept1.id, kept2.id, late.id]);
    await busy.cluster.reportSessions({ complete: true });
  });

  it('counts a session once where its report arrives twice', async () => {
    const report = { started: [{ id: createId('ses'), user: 'twice' }], maxSessions: 1 };
    expect((await proxy.cluster.reportSessions(report)).refused).toEqual([]);
    expect((await proxy.cluster.reportSessions(report)).refused).toEqual([]);
    await proxy.cluster.reportSessions({ complete: true });
  });

  it('holds a limit of sessions over several proxies', async () => {
    const second = await cluster.enroll('proxy');
    const session = () => ({
      id: createId('ses'),
      protocol: 'ssh',
      user: 'limited',
      target: 'web-1',
      targetKind: 'node',
      principal: 'x',
    });
    const starts = await Promise.all(
      [proxy, second, proxy, second, proxy].map(async (one) =>
        one.cluster.reportSessions({ started: [session()], maxSessions: 2 }),
      ),
    );
    expect(starts.flatMap((one) => one.refused)).toHaveLength(3);
    expect(await cluster.events('limit.reached')).toHaveLength(3);
    // A proxy that dies frees its slots when its lease is over.
    await second.cluster.reportSessions({ complete: true });
    await proxy.cluster.reportSessions({ complete: true });
    expect(
      (await proxy.cluster.reportSessions({ started: [session()], maxSessions: 2 })).refused,
    ).toEqual([]);
    await proxy.cluster.reportSessions({ complete: true });
  });

  it('keeps no secret in clear in the database, and no table that the types do not know', async () => {
    const dump = await dumpDatabase(cluster.store.database);
    for (const secret of [
      password,
      'another long passphrase',
      'PRIVATE KEY',
      'otpauth',
      'inv-',
      'join-',
    ]) {
      expect(dump, secret).not.toContain(secret);
    }
    expect(dump).toContain('alice');
    const columns = await readColumns(cluster.store.database);
    expect(
      [...columns.keys()].filter((table) => !table.startsWith('auth_migration')).toSorted(),
    ).toMatchSnapshot();
  });
});
