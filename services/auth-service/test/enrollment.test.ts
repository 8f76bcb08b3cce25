import { randomBytes } from 'node:crypto';

import {
  computeEnrollmentMac,
  generateKeyPair,
  parseSshCertificate,
  sshPublicKeyFromSpki,
  verifyPartCertificate,
} from '@gatehouse/identity';
import { createId } from '@gatehouse/kit/ids';
import { AdministrationServiceDefinition } from '@gatehouse/proto/auth/v1/administration_service';
import { ClusterServiceDefinition } from '@gatehouse/proto/auth/v1/cluster_service';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ageAgents } from '../src/store/testing.js';
import {
  applyYamlLike,
  engines,
  enrollmentMac,
  internalConnection,
  joinAgent,
  refusal,
  type EnrolledService,
  type LoggedIn,
  type TestCluster,
  registerTargets,
  startWithAdministrator,
} from './support.js';

const node = (
  name: string,
  labels: Record<string, string> = {},
  spec: object = { address: '127.0.0.1:22' },
) => ({
  kind: 'node',
  name,
  labels,
  protocol: 'ssh',
  specJson: JSON.stringify(spec),
});

describe.each(engines)('joining on %s', (engine) => {
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
    targets: ReturnType<typeof node>[],
    more: object = {},
  ) => registerTargets(tunnel, agent, { targets, ...more });

  it('gives a service that knows the secret of its kind a certificate for 24 h, and proves itself by the same secret', async () => {
    const keys = generateKeyPair('p256');
    const request = {
      kind: 'proxy',
      replicaId: createId('srv'),
      publicKey: keys.spki,
      dnsNames: ['proxy-0.example', '127.0.0.1'],
      nonce: randomBytes(32),
    };
    using anonymous = internalConnection(cluster.service);
    const client = anonymous.client(EnrollmentServiceDefinition);
    const secret = cluster.files.secrets['proxy'] ?? '';
    const reply = await client.enrollService({ ...request, mac: enrollmentMac(secret, request) });
    const expected = computeEnrollmentMac(Buffer.from(secret), 'gatehouse-enroll-reply-v1', [
      request.nonce,
      reply.certificate,
      reply.trustEncoded,
    ]);
    expect(reply.mac).toEqual(expected);
    const trust = cluster.service.trust();
    const verified = verifyPartCertificate(reply.certificate, {
      userAuthorities: trust.userTlsCa,
      hostAuthorities: trust.hostTlsCa,
      nowMs: cluster.clock.now(),
    });
    expect(verified.part).toEqual({
      cluster: 'test',
      type: 'service',
      kind: 'proxy',
      id: request.replicaId,
    });
    expect(verified.dnsNames).toContain('proxy-0.example');
    expect(verified.notAfterMs - cluster.clock.now()).toBeGreaterThan(86_390_000);
  });

  it('refuses a service with the secret of another kind, or whose request was changed', async () => {
    const keys = generateKeyPair('p256');
    const request = {
      kind: 'proxy',
      replicaId: createId('srv'),
      publicKey: keys.spki,
      dnsNames: [],
      nonce: randomBytes(32),
    };
    using anonymous = internalConnection(cluster.service);
    const client = anonymous.client(EnrollmentServiceDefinition);
    const otherMac = enrollmentMac(cluster.files.secrets['tunnel'] ?? '', request);
    expect(await refusal(client.enrollService({ ...request, mac: otherMac }))).toMatchObject({
      kind: 'unauthenticated',
    });
    const mac = enrollmentMac(cluster.files.secrets['proxy'] ?? '', request);
    const changed = { ...request, publicKey: generateKeyPair('p256').spki, mac };
    expect(await refusal(client.enrollService(changed))).toMatchObject({ kind: 'unauthenticated' });
    await client.enrollService({ ...request, mac });
  });

  it('keeps services’ methods from people, agents and strangers, and people’s from services', async () => {
    const agent = await joinAgent(cluster, { name: 'rules' });
    using asAgent = internalConnection(cluster.service, agent.keys);
    using asPerson = internalConnection(cluster.service, ada.keys);
    using asNobody = internalConnection(cluster.service);
    for (const connection of [asAgent, asPerson, asNobody]) {
      const client = connection.client(ClusterServiceDefinition);
      expect(await refusal(client.reportAgents({ agentIds: [] }))).toMatchObject({
        kind: 'permission_denied',
      });
    }
    const proxy = await cluster.enroll('proxy');
    expect(await refusal(proxy.cluster.reportAgents({ agentIds: [] }))).toMatchObject({
      kind: 'permission_denied',
    });
    expect(await refusal(tunnel.cluster.reportSessions({}))).toMatchObject({
      kind: 'permission_denied',
    });
    const person = await cluster.person(agent.keys);
    expect(await refusal(person.admin.listAgents({}))).toMatchObject({ kind: 'permission_denied' });
    const stranger = await cluster.person();
    expect(await refusal(stranger.admin.listTargets({}))).toMatchObject({
      kind: 'permission_denied',
    });
    const keys = generateKeyPair('p256');
    const request = {
      kind: 'proxy',
      replicaId: createId('srv'),
      publicKey: keys.spki,
      dnsNames: [],
      nonce: randomBytes(32),
    };
    const mac = enrollmentMac(cluster.files.secrets['proxy'] ?? '', request);
    expect(await refusal(stranger.enrollment.enrollService({ ...request, mac }))).toMatchObject({
      kind: 'permission_denied',
    });
    const internal = proxy.connection.client(AdministrationServiceDefinition);
    await expect(internal.listAgents({})).rejects.toThrow();
    await ada.admin.listAgents({});
  });

  it('takes a join token once and says one thing of every other: used, expired, forged, of another kind', async () => {
    const at = (await cluster.events('agent.join_refused')).length;
    const { token } = await ada.admin.createJoinToken({ ttl: { seconds: 600n, nanos: 0 } });
    const { token: late } = await ada.admin.createJoinToken({ ttl: { seconds: 1n, nanos: 0 } });
    const invite = await ada.admin.createUserInvite({ user: 'someone', roles: [] });
    await joinAgent(cluster, { name: 'once', token });
    cluster.clock.advance(2_000);
    for (const bad of [token, late, 'join-forged', invite.token, '']) {
      expect(await refusal(joinAgent(cluster, { name: 'twice', token: bad }))).toMatchObject({
        kind: 'permission_denied',
        message: 'join token is not valid',
      });
    }
    const reasons = (await cluster.events('agent.join_refused'))
      .slice(at)
      .map((event) => event.reason);
    expect(reasons).toEqual(['used', 'expired', 'forged', 'wrong_kind', 'forged']);
  });

  it('refuses a name that another agent has, whatever its case, and does not use the token up', async () => {
    await joinAgent(cluster, { name: 'taken' });
    const token = await cluster.service.createAgentToken();
    expect(await refusal(joinAgent(cluster, { name: 'TAKEN', token }))).toMatchObject({
      kind: 'permission_denied',
      message: 'the name "TAKEN" is in use by another agent',
    });
    await joinAgent(cluster, { name: 'free', token });
    const old = await joinAgent(cluster, { name: 'gone' });
    await ageAgents(cluster.store.database, 25 * 3_600_000);
    const fresh = await joinAgent(cluster, { name: 'gone' });
    expect(fresh.agentId).not.toBe(old.agentId);
    await expect(register(old, [])).rejects.toThrow('it is not known here');
  });

  it('forces the labels of the token, bounds names by its globs, and keeps a name with its agent', async () => {
    const { token } = await ada.admin.createJoinToken({
      labels: { env: 'staging' },
      names: ['web-*'],
    });
    const a1 = await joinAgent(cluster, { name: 'a1', token });
    const first = await register(a1, [node('web-1', { env: 'prod', team: 'blue' }), node('db-1')]);
    expect(first.refused).toEqual([{ kind: 'node', name: 'db-1', reason: 'name_not_allowed' }]);
    const { documentJson } = await ada.admin.getDocument({ kind: 'node', name: 'web-1' });
    expect(JSON.parse(documentJson)).toMatchObject({
      metadata: { labels: { env: 'staging', team: 'blue' } },
      protocol: 'ssh',
      agent: a1.agentId,
    });
    const a2 = await joinAgent(cluster, { name: 'a2' });
    const second = await register(a2, [node('WEB-1'), node('web-9')]);
    expect(second.refused).toEqual([{ kind: 'node', name: 'WEB-1', reason: 'name_taken' }]);
    const events = (await cluster.events('connection.refused')).filter(
      (event) => event.reason === 'not_yours',
    );
    expect(events.map((event) => event.target?.name)).toContain('WEB-1');
    // Given up: still held for a day, then free.
    await register(a1, []);
    expect((await register(a2, [node('web-1'), node('web-9')])).refused).toHaveLength(1);
    await ageAgents(cluster.store.database, 25 * 3_600_000);
    expect((await register(a2, [node('web-1'), node('web-9')])).refused).toHaveLength(0);
  });

  it('lets agents of one group serve the same names, and nobody found a group that exists', async () => {
    const group = 'pair';
    const tokens = [
      await ada.admin.createJoinToken({ group }),
      await ada.admin.createJoinToken({ group }),
    ];
    const [one, two] = await Promise.all(
      tokens.map(async ({ token }, index) => joinAgent(cluster, { name: `pair-${index}`, token })),
    );
    if (one === undefined || two === undefined) throw new Error('not joined');
    expect([one.group, two.group]).toEqual(['pair', 'pair']);
    expect((await register(one, [node('shared')])).refused).toEqual([]);
    expect((await register(two, [node('shared')])).refused).toEqual([]);
    expect(await refusal(joinAgent(cluster, { name: 'intruder', group }))).toMatchObject({
      kind: 'permission_denied',
    });
    await register(one, []);
    await ada.admin.getDocument({ kind: 'node', name: 'shared' });
    await register(two, []);
    expect(await refusal(ada.admin.getDocument({ kind: 'node', name: 'shared' }))).toMatchObject({
      kind: 'not_found',
    });
  });

  it('takes host keys at the first registration only; later ones wait for an administrator', async () => {
    const agent = await joinAgent(cluster, { name: 'keys' });
    const newLine = () =>
      `ssh-ed25519 ${sshPublicKeyFromSpki(generateKeyPair('ed25519').spki).toString('base64')}`;
    const [lineA, lineB] = [newLine(), newLine()];
    const spec = (host_key: string) => ({ address: '127.0.0.1:22', host_key });
    await register(agent, [node('pinned', {}, spec(lineA))]);
    const changed = await register(agent, [node('pinned', {}, spec(lineB))]);
    expect(changed.refused).toEqual([{ kind: 'node', name: 'pinned', reason: 'trust_changed' }]);
    const read = async () =>
      JSON.parse((await ada.admin.getDocument({ kind: 'node', name: 'pinned' })).documentJson) as {
        spec: { host_key: string };
      };
    expect((await read()).spec.host_key).toBe(lineA);
    expect(await cluster.events('target.trust_changed')).toHaveLength(1);
    const document = await read();
    await applyYamlLike(ada, { ...document, spec: spec(lineB) });
    expect((await register(agent, [node('pinned', {}, spec(lineB))])).refused).toEqual([]);
    expect(
      await refusal(
        applyYamlLike(ada, {
          ...(await read()),
          spec: { ...spec(lineB), address: '10.0.0.1:22' },
        }),
      ),
    ).toMatchObject({ kind: 'failed_precondition' });
  });

  it('renews agents and locks one whose old certificate is used after the new one', async () => {
    const agent = await joinAgent(cluster, { name: 'renewing' });
    const old = await cluster.person(agent.keys);
    const renewed = await old.enrollment.renewAgent({ publicKey: agent.keys.spki });
    // The answer may be lost: the old one still renews until the new one was seen.
    const again = await old.enrollment.renewAgent({ publicKey: agent.keys.spki });
    expect(renewed.certificate.equals(again.certificate)).toBe(false);
    const fresh = { ...agent, keys: { ...agent.keys, certificate: again.certificate } };
    await register(fresh, [node('renewing-1')]);
    await register(agent, [node('renewing-1')]);
    cluster.clock.advance(11 * 60_000);
    expect(await refusal(register(agent, []))).toMatchObject({ kind: 'permission_denied' });
    const locks = (await cluster.events('lock.created')).filter(
      (event) => event.target?.name === 'renewing',
    );
    expect(locks).toHaveLength(1);
    await expect(register(fresh, [])).rejects.toThrow('locked');
  });

  // A session of hours keeps the tunnel that stands since before the renewal: it is registered again every 10 s.
  it('locks no agent for a tunnel that showed its certificate before the renewal', async () => {
    const agent = await joinAgent(cluster, { name: 'long' });
    const connectedAt = new Date(cluster.clock.now());
    await register(agent, [node('long-1')], { connectedAt });
    cluster.clock.advance(60_000);
    const { enrollment } = await cluster.person(agent.keys);
    const { certificate } = await enrollment.renewAgent({ publicKey: agent.keys.spki });
    const fresh = { ...agent, keys: { ...agent.keys, certificate } };
    await register(fresh, [node('long-1')]);
    cluster.clock.advance(11 * 60_000);
    await register(agent, [node('long-1')], { connectedAt });
    await register(fresh, [node('long-1')]);
    expect(await refusal(register(agent, []))).toMatchObject({ kind: 'permission_denied' });
  });

  // A token for test-* whose holder takes the name of an agent that was off for a weekend got that agent's targets.
  it('lets nobody inherit the targets of a group whose agents are gone', async () => {
    const before = await joinAgent(cluster, { name: 'prod-1', group: 'prod' });
    await register(before, [node('registered')], { dynamic: ['vault', 'test-*'] });
    const given = (name: string) => ({
      kind: 'node',
      version: 'v1',
      metadata: { name, labels: { env: 'prod' } },
      spec: { agent: 'prod', address: '127.0.0.1:22' },
    });
    await applyYamlLike(ada, given('vault'));
    await applyYamlLike(ada, given('test-vault'));
    await ageAgents(cluster.store.database, 25 * 3_600_000);
    const { token } = await ada.admin.createJoinToken({ names: ['test-*'] });
    expect(
      await refusal(joinAgent(cluster, { name: 'prod-1', group: 'prod', token })),
    ).toMatchObject({ kind: 'permission_denied' });
    const alone = await joinAgent(cluster, { name: 'prod-1', token });
    expect(alone.group).toBe(alone.agentId);
    const registered = await register(alone, [node('test-vault')]);
    expect(registered).toMatchObject({
      refused: [{ name: 'test-vault', reason: 'name_taken' }],
      dynamicTargets: [],
    });
    // What the old agent registered has gone with it; what an administrator wrote has not, and keeps the group closed.
    expect(
      await refusal(ada.admin.getDocument({ kind: 'node', name: 'registered' })),
    ).toMatchObject({ kind: 'not_found' });
    await ada.admin.getDocument({ kind: 'node', name: 'vault' });
    expect(await refusal(joinAgent(cluster, { name: 'prod-2', group: 'prod' }))).toMatchObject({
      kind: 'permission_denied',
    });
    for (const name of ['vault', 'test-vault'])
      await ada.admin.deleteDocument({ kind: 'node', name });
    expect((await joinAgent(cluster, { name: 'prod-2', group: 'prod' })).group).toBe('prod');
  });

  // Within a group too a token's globs bound which of an administrator's targets its agent gets.
  it('gives an agent no target of its group that its token does not name', async () => {
    const { token: wide } = await ada.admin.createJoinToken({ group: 'mixed' });
    const first = await joinAgent(cluster, { name: 'mixed-1', token: wide });
    await register(first, [], { dynamic: ['*'] });
    await applyYamlLike(ada, {
      kind: 'node',
      version: 'v1',
      metadata: { name: 'mixed-vault' },
      spec: { agent: 'mixed', address: '127.0.0.1:22' },
    });
    const { token } = await ada.admin.createJoinToken({ group: 'mixed', names: ['test-*'] });
    const second = await joinAgent(cluster, { name: 'mixed-2', token });
    const publicKey = sshPublicKeyFromSpki(generateKeyPair('ed25519').spki);
    const served = async (agent: typeof first) => {
      const { dynamicTargets } = await register(agent, [], { dynamic: ['*'] });
      const { enrollment } = await cluster.person(agent.keys);
      const signing = enrollment.issueNodeHostCertificate({ name: 'mixed-vault', publicKey });
      return [
        dynamicTargets.map(({ name }) => name),
        await signing.then(
          () => 'signed',
          () => 'refused',
        ),
      ];
    };
    expect(await served(first)).toEqual([['mixed-vault'], 'signed']);
    expect(await served(second)).toEqual([[], 'refused']);
  });

  it('signs host certificates for an agent’s own nodes only', async () => {
    const agent = await joinAgent(cluster, { name: 'builtin' });
    const other = await joinAgent(cluster, { name: 'builtin-2' });
    await register(agent, [node('here', {}, { builtin: true })]);
    await register(other, [node('there', {}, { builtin: true })]);
    const publicKey = sshPublicKeyFromSpki(generateKeyPair('ed25519').spki);
    const { enrollment } = await cluster.person(agent.keys);
    const { certificate } = await enrollment.issueNodeHostCertificate({ name: 'here', publicKey });
    expect(parseSshCertificate(certificate)).toMatchObject({
      type: 'host',
      principals: ['here', 'here.test'],
    });
    for (const name of ['there', 'nope']) {
      expect(await refusal(enrollment.issueNodeHostCertificate({ name, publicKey }))).toMatchObject(
        { kind: 'permission_denied' },
      );
    }
    const proxy = await cluster.enroll('proxy');
    const issued = await proxy.credentials.issueHostCertificates({
      names: ['here', 'nope', 'there'],
      port: true,
      publicKey,
    });
    expect(issued.certificates.map((one) => one.name)).toEqual(['here', 'there', '']);
    expect(
      parseSshCertificate(issued.certificates[2]?.certificate ?? Buffer.alloc(0)).principals,
    ).toEqual(['localhost']);
  });

  it('says once that an agent is connected and once that it is gone, over several tunnels', async () => {
    const agent = await joinAgent(cluster, { name: 'coming' });
    const second = await cluster.enroll('tunnel');
    const count = async (type: string) =>
      (await cluster.events(type)).filter((event) => event.actor.name === 'coming').length;
    const online = async () =>
      (await ada.admin.listAgents({})).agents.find((one) => one.name === 'coming')?.online;
    await register(agent, [node('coming-1')]);
    await second.cluster.reportAgents({ agentIds: [agent.agentId] });
    await tunnel.cluster.reportAgents({ agentIds: [agent.agentId] });
    expect([await count('agent.connected'), await online()]).toEqual([1, true]);
    const { targets } = await ada.admin.listTargets({ search: 'coming-1' });
    expect(targets).toMatchObject([{ name: 'coming-1', online: true }]);
    await tunnel.cluster.reportAgents({ agentIds: [] });
    expect([await count('agent.disconnected'), await online()]).toEqual([0, true]);
    await second.cluster.reportAgents({ agentIds: [] });
    expect([await count('agent.disconnected'), await online()]).toEqual([1, false]);
    // A replica that dies says nothing any more.
    await second.cluster.reportAgents({ agentIds: [agent.agentId] });
    cluster.clock.advance(16_000);
    await expect.poll(async () => count('agent.disconnected'), { timeout: 10_000 }).toBe(2);
  });

  it('takes a deleted agent’s certificate and frees its names', async () => {
    const agent = await joinAgent(cluster, { name: 'deleted' });
    await register(agent, [node('deleted-1')]);
    await ada.admin.deleteDocument({ kind: 'agent', name: 'deleted' });
    await expect(register(agent, [])).rejects.toThrow('not accepted');
    const next = await joinAgent(cluster, { name: 'deleted' });
    expect((await register(next, [node('deleted-1')])).refused).toEqual([]);
  });
});
