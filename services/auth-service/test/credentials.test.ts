import { createHash, randomBytes } from 'node:crypto';

import { generateKeyPair, parseSshCertificate, sshPublicKeyFromSpki } from '@gatehouse/identity';
import { createTestAuthorities, issueTestUser } from '@gatehouse/identity/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  addPerson,
  applyYamlLike,
  engines,
  joinAgent,
  logIn,
  refusal,
  signSshProof,
  type EnrolledService,
  type LoggedIn,
  type TestCluster,
  type TestPerson,
  startWithAdministrator,
} from './support.js';

describe.each(engines)('certificates for targets on %s', (engine) => {
  let stack: AsyncDisposableStack;
  let cluster: TestCluster;
  let ada: LoggedIn;
  let alice: TestPerson;
  let proxy: EnrolledService;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    ({ cluster, ada } = await startWithAdministrator(engine, stack));
    await applyYamlLike(ada, {
      kind: 'role',
      version: 'v1',
      metadata: { name: 'prod-root' },
      spec: { allow: { logins: ['root'], node_labels: { env: 'prod' } } },
    });
    await applyYamlLike(ada, {
      kind: 'role',
      version: 'v1',
      metadata: { name: 'nowhere' },
      spec: { allow: { logins: ['ghost'], node_labels: { env: 'nowhere' } } },
    });
    alice = await addPerson(cluster, ada, { name: 'alice', roles: ['dev', 'nowhere'] });
    proxy = await cluster.enroll('proxy');
    const tunnel = await cluster.enroll('tunnel');
    const agent = await joinAgent(cluster, { name: 'a1' });
    const target = (name: string, env: string) => ({
      kind: 'node',
      name,
      labels: { env },
      protocol: 'ssh',
      specJson: '{"address":"h:22"}',
    });
    await tunnel.cluster.registerAgent({
      agentId: agent.agentId,
      certificateFingerprint: createHash('sha256').update(agent.keys.certificate).digest(),
      targets: [target('web-1', 'staging'), target('web-2', 'prod')],
    });
  }, 180_000);
  afterAll(async () => stack.disposeAsync());

  const newKey = () => sshPublicKeyFromSpki(generateKeyPair('ed25519').spki);

  it('signs, on a person’s proof, a certificate of target_ssh for exactly the logins the person may use, for an hour at most', async () => {
    const person = await logIn(cluster, alice);
    const publicKey = newKey();
    const reply = await proxy.credentials.issueTargetCertificate({
      ...signSshProof(person, randomBytes(32)),
      publicKey,
    });
    const certificate = parseSshCertificate(reply.certificate);
    expect(reply.logins).toEqual(['deploy']);
    expect(certificate).toMatchObject({ type: 'user', principals: ['deploy'], publicKey });
    expect(certificate.keyId).toContain('alice');
    expect(certificate.extensions.has('permit-pty')).toBe(true);
    expect(certificate.extensions.has('identity-v1@gatehouse')).toBe(false);
    const target = cluster.service.trust().targetSsh[0]?.split(' ')[1] ?? '';
    expect(certificate.signatureKey.toString('base64')).toBe(target);
    expect(certificate.validBeforeMs - cluster.clock.now()).toBeLessThanOrEqual(3_600_000);
    expect(certificate.validBeforeMs).toBe(reply.validUntil?.getTime());
  });

  // A login that was replaced went on being signed, and the new one was refused, until the person logged in again.
  it('signs for the logins that a person has now, not for those of their certificate', async () => {
    await applyYamlLike(ada, {
      kind: 'role',
      version: 'v1',
      metadata: { name: 'by-trait' },
      spec: { allow: { logins: ['{{internal.logins}}'], node_labels: { env: 'staging' } } },
    });
    const carol = await addPerson(cluster, ada, {
      name: 'carol',
      roles: ['by-trait'],
      traits: { logins: 'old' },
    });
    const person = await logIn(cluster, carol);
    const publicKey = newKey();
    const sign = async (login: string) =>
      proxy.credentials.issueTargetCertificate({
        ...signSshProof(person, randomBytes(32), login),
        publicKey,
        login,
      });
    expect((await sign('old')).logins).toEqual(['old']);
    await applyYamlLike(ada, {
      kind: 'user',
      version: 'v1',
      metadata: { name: 'carol' },
      spec: { roles: ['by-trait'], traits: { logins: ['new'] } },
    });
    expect((await sign('new')).logins).toEqual(['new']);
    const renewed = await proxy.credentials.issueTargetCertificate({
      renewLoginId: person.loginId,
      publicKey,
      login: 'old',
    });
    expect(renewed.logins).toEqual(['new']);
    expect((await person.login.getSelf({})).self?.logins).toEqual(['new']);
  });

  it('takes each SSH session as proof once', async () => {
    const person = await logIn(cluster, alice);
    const proof = signSshProof(person, randomBytes(32));
    await proxy.credentials.issueTargetCertificate({ ...proof, publicKey: newKey() });
    expect(
      await refusal(proxy.credentials.issueTargetCertificate({ ...proof, publicKey: newKey() })),
    ).toMatchObject({ kind: 'already_exists' });
    const other = await cluster.enroll('proxy');
    expect(
      await refusal(other.credentials.issueTargetCertificate({ ...proof, publicKey: newKey() })),
    ).toMatchObject({ kind: 'already_exists' });
  });

  it('renews for a login, key and proxy that have shown a proof, and for no other', async () => {
    const person = await logIn(cluster, alice);
    const publicKey = newKey();
    await proxy.credentials.issueTargetCertificate({
      ...signSshProof(person, randomBytes(32)),
      publicKey,
    });
    const renewed = await proxy.credentials.issueTargetCertificate({
      renewLoginId: person.loginId,
      publicKey,
    });
    expect(renewed.logins).toEqual(['deploy']);
    expect(
      await refusal(
        proxy.credentials.issueTargetCertificate({
          renewLoginId: person.loginId,
          publicKey: newKey(),
        }),
      ),
    ).toMatchObject({ kind: 'permission_denied' });
    const other = await cluster.enroll('proxy');
    expect(
      await refusal(
        other.credentials.issueTargetCertificate({ renewLoginId: person.loginId, publicKey }),
      ),
    ).toMatchObject({ kind: 'permission_denied' });
    expect(
      await refusal(
        proxy.credentials.issueTargetCertificate({ renewLoginId: ada.loginId, publicKey }),
      ),
    ).toMatchObject({ kind: 'permission_denied' });
    await person.login.logout({});
    expect(
      await refusal(
        proxy.credentials.issueTargetCertificate({ renewLoginId: person.loginId, publicKey }),
      ),
    ).toMatchObject({ kind: 'unauthenticated' });
  });

  it('refuses a proof that was changed, signed by another key, or of a stranger’s authority', async () => {
    const person = await logIn(cluster, alice);
    const other = await logIn(cluster, alice);
    const proof = signSshProof(person, randomBytes(32));
    const issue = async (changed: object) =>
      proxy.credentials.issueTargetCertificate({ ...proof, publicKey: newKey(), ...changed });
    const signedData = Buffer.from(proof.signedData);
    signedData[10] = (signedData[10] ?? 0) ^ 1;
    expect(await refusal(issue({ signedData }))).toMatchObject({ kind: 'unauthenticated' });
    expect(await refusal(issue({ certificate: other.sshCertificate }))).toMatchObject({
      kind: 'unauthenticated',
    });
    const stranger = await issueTestUser(await createTestAuthorities());
    expect(await refusal(issue({ certificate: stranger.sshCertificate }))).toMatchObject({
      kind: 'unauthenticated',
    });
    await issue({});
  });

  it('refuses a person who is locked, logged out, reset, or has no login anywhere, and leaves locked logins out', async () => {
    const person = await logIn(cluster, alice);
    const issue = async (who: LoggedIn) =>
      proxy.credentials.issueTargetCertificate({
        ...signSshProof(who, randomBytes(32)),
        publicKey: newKey(),
      });
    const { documentJson } = await ada.admin.createLock({ user: 'alice', message: 'stop' });
    expect(await refusal(issue(person))).toMatchObject({
      kind: 'failed_precondition',
      message: 'locked: stop',
    });
    const unlock = async (json: string) =>
      ada.admin.deleteDocument({
        kind: 'lock',
        name: (JSON.parse(json) as { metadata: { name: string } }).metadata.name,
      });
    await unlock(documentJson);
    await issue(person);
    const login = await ada.admin.createLock({ login: 'deploy' });
    expect(await refusal(issue(person))).toMatchObject({ kind: 'permission_denied' });
    await unlock(login.documentJson);
    const session = await ada.admin.createLock({ loginSession: person.loginId });
    expect(await refusal(issue(person))).toMatchObject({ kind: 'failed_precondition' });
    await unlock(session.documentJson);
    await person.login.logout({});
    expect(await refusal(issue(person))).toMatchObject({ kind: 'unauthenticated' });
    const nobody = await logIn(
      cluster,
      await addPerson(cluster, ada, { name: 'nobody', roles: ['nowhere'] }),
    );
    expect(await refusal(issue(nobody))).toMatchObject({ kind: 'permission_denied' });
  });

  it('gives a login that is allowed by a pattern when the proxy asks for it, and no other', async () => {
    await applyYamlLike(ada, {
      kind: 'role',
      version: 'v1',
      metadata: { name: 'patterns' },
      spec: { allow: { logins: ['^svc-[a-z]+$'], node_labels: { env: 'prod' } } },
    });
    const bob = await logIn(
      cluster,
      await addPerson(cluster, ada, { name: 'bob', roles: ['patterns', 'prod-root'] }),
    );
    const issue = async (login: string) =>
      proxy.credentials.issueTargetCertificate({
        ...signSshProof(bob, randomBytes(32), login),
        publicKey: newKey(),
        login,
      });
    expect((await issue('svc-web')).logins.toSorted()).toEqual(['root', 'svc-web']);
    expect((await issue('svc-1')).logins).toEqual(['root']);
    expect((await issue('')).logins).toEqual(['root']);
  });

  it('serves no proxy whose replica is locked, and no other kind of service', async () => {
    const bad = await cluster.enroll('proxy');
    const person = await logIn(cluster, alice);
    const issue = async (service: EnrolledService) =>
      service.credentials.issueTargetCertificate({
        ...signSshProof(person, randomBytes(32)),
        publicKey: newKey(),
      });
    await issue(bad);
    await ada.admin.createLock({ replica: bad.id, message: 'taken over' });
    expect(await refusal(issue(bad))).toMatchObject({ kind: 'failed_precondition' });
    const audit = await cluster.enroll('audit');
    expect(await refusal(issue(audit))).toMatchObject({ kind: 'permission_denied' });
    await issue(proxy);
  });
});
