import {
  generateKeyPair,
  parseSshCertificate,
  sshPublicKeyFromSpki,
  verifySshUserCertificate,
  verifyTlsCertificate,
} from '@gatehouse/identity';
import { createTestAuthorities, issueTestUser } from '@gatehouse/identity/testing';
import { LoginServiceDefinition } from '@gatehouse/proto/auth/v1/login_service';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  acceptInvite,
  addPerson,
  applyYamlLike,
  devRole,
  engines,
  logIn,
  otpOf,
  password,
  refusal,
  type LoggedIn,
  type TestCluster,
  type TestPerson,
  startWithAdministrator,
} from './support.js';

const wrong = 'wrong user name, password or code';

describe.each(engines)('logging in on %s', (engine) => {
  let stack: AsyncDisposableStack;
  let cluster: TestCluster;
  let ada: LoggedIn;
  let alice: TestPerson;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    ({ cluster, ada } = await startWithAdministrator(engine, stack));
    alice = await addPerson(cluster, ada, { name: 'alice', roles: ['dev'] });
  }, 180_000);
  afterAll(async () => stack.disposeAsync());

  const attempt = async (given: {
    user?: string;
    password?: string;
    otp?: string;
    address?: string;
  }) => {
    const { spki } = generateKeyPair('p256');
    const { login } = await cluster.person(undefined, given.address);
    return login.login({
      user: given.user ?? alice.name,
      password: given.password ?? alice.password,
      otp: given.otp ?? otpOf(alice.totpUri, cluster.clock.now()),
      sshPublicKey: sshPublicKeyFromSpki(spki),
      tlsPublicKey: spki,
    });
  };

  it('gives the first administrator the roles admin and access and the login of who started it', () => {
    expect(ada.issued.self).toMatchObject({
      user: 'ada',
      roles: ['admin', 'access'],
      logins: ['starter'],
      mfaVerified: true,
    });
  });

  it('signs both certificates for the same end, principal and payload', async () => {
    const person = await logIn(cluster, alice, { ttlSeconds: 3600 });
    const trust = cluster.service.trust();
    const ssh = parseSshCertificate(person.sshCertificate);
    const tls = verifyTlsCertificate(person.keys.certificate, {
      authorities: trust.userTlsCa,
      nowMs: cluster.clock.now(),
    });
    expect(ssh.principals).toEqual(['alice']);
    expect([...ssh.extensions.keys()]).toContain('permit-pty');
    expect(ssh.validBeforeMs).toBe(tls.notAfterMs);
    expect(ssh.validAfterMs).toBe(tls.notBeforeMs);
    expect(cluster.clock.now() - ssh.validAfterMs).toBeGreaterThanOrEqual(119_000);
    const lifeMs = ssh.validBeforeMs - cluster.clock.now();
    expect(lifeMs).toBeGreaterThan(3_590_000);
    expect(lifeMs).toBeLessThanOrEqual(3_600_000);
    const userSsh = trust.userSsh.map((line) => Buffer.from(line.split(' ')[1] ?? '', 'base64'));
    const verified = verifySshUserCertificate(person.sshCertificate, {
      authorities: userSsh,
      nowMs: cluster.clock.now(),
    });
    expect(verified.identity).toEqual(tls.identity);
    expect(verified.identity).toMatchObject({
      user: 'alice',
      roles: ['dev'],
      loginId: person.loginId,
    });
  });

  it('never gives more life than the strictest role allows', async () => {
    await applyYamlLike(ada, {
      ...devRole,
      metadata: { name: 'short' },
      spec: { options: { max_session_ttl: '2h' }, allow: {} },
    });
    const eight = await logIn(cluster, alice, { ttlSeconds: 360_000 });
    expect(Math.round((eight.validUntilMs - cluster.clock.now()) / 60_000)).toBe(480);
    const both = await addPerson(cluster, ada, { name: 'both', roles: ['dev', 'short'] });
    const two = await logIn(cluster, both, {});
    expect(Math.round((two.validUntilMs - cluster.clock.now()) / 60_000)).toBe(120);
  });

  it('answers wrong password, wrong code, used code and unknown name with one text, and tells them apart in the events only', async () => {
    const at = (await cluster.events('login.failed')).length;
    cluster.clock.advance(30_000);
    const otp = otpOf(alice.totpUri, cluster.clock.now());
    await attempt({ otp });
    for (const given of [
      { otp: '000000' },
      { otp },
      { password: 'not the password' },
      { user: 'nobody' },
    ]) {
      expect(await refusal(attempt(given))).toMatchObject({
        kind: 'unauthenticated',
        message: wrong,
      });
    }
    const reasons = (await cluster.events('login.failed')).slice(at).map((event) => event.reason);
    expect(reasons).toEqual(['bad_code', 'code_replayed', 'bad_password', 'unknown_user']);
    cluster.clock.advance(30_000);
    await attempt({});
  });

  it('takes a code once even when it comes twice at the same time', async () => {
    cluster.clock.advance(60_000);
    const otp = otpOf(alice.totpUri, cluster.clock.now());
    const results = await Promise.allSettled([
      attempt({ otp }),
      attempt({ otp }),
      attempt({ otp }),
    ]);
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  });

  it('makes an account wait after five wrong tries, also for the right password, and takes it after the wait', async () => {
    const victim = await addPerson(cluster, ada, { name: 'victim', roles: ['dev'] });
    const address = '192.0.2.50';
    const right = () =>
      attempt({
        user: 'victim',
        password: victim.password,
        otp: otpOf(victim.totpUri, cluster.clock.now()),
        address,
      });
    for (let count = 0; count < 4; count += 1)
      await refusal(attempt({ user: 'victim', password: 'wrong wrong', address }));
    await right();
    cluster.clock.advance(30_000);
    for (let count = 0; count < 5; count += 1)
      await refusal(attempt({ user: 'victim', password: 'wrong wrong', address }));
    expect(await refusal(right())).toMatchObject({ kind: 'unauthenticated', message: wrong });
    const blocked = (await cluster.events('login.blocked')).filter(
      (event) => event.actor.name === 'victim',
    );
    expect(blocked).toHaveLength(1);
    cluster.clock.advance(14 * 60_000);
    await refusal(right());
    cluster.clock.advance(2 * 60_000);
    await right();
  });

  it('counts parallel guesses one by one', async () => {
    const target = await addPerson(cluster, ada, { name: 'parallel', roles: ['dev'] });
    const guesses = Array.from({ length: 12 }, async (_, index) =>
      refusal(
        attempt({
          user: 'parallel',
          password: `guess number ${index}`,
          otp: '123456',
          address: `192.0.2.${100 + index}`,
        }),
      ),
    );
    await Promise.all(guesses);
    const events = (await cluster.events('login.failed')).filter(
      (event) => event.actor.name === 'parallel',
    );
    expect(events.filter((event) => event.reason === 'bad_password')).toHaveLength(5);
    expect(events.filter((event) => event.reason === 'blocked')).toHaveLength(7);
    expect(await refusal(attempt({ user: 'parallel', password: target.password }))).toMatchObject({
      message: wrong,
    });
  });

  it('slows an address that fails for many names, and no other', async () => {
    const address = '192.0.2.77';
    const outcomes: string[] = [];
    for (let count = 0; count < 30; count += 1) {
      outcomes.push((await refusal(attempt({ user: `name-${count}`, address }))).kind);
    }
    expect(outcomes).toContain('resource_exhausted');
    cluster.clock.advance(30_000);
    await attempt({ address: '192.0.2.78' });
    cluster.clock.advance(60_000);
    await attempt({ address });
  });

  it('slows who guesses links through a proxy, by the household that the proxy names, and nobody else', async () => {
    const { connection } = await cluster.enroll('proxy');
    const login = connection.client(LoginServiceDefinition);
    const guess = async (clientAddress: string) =>
      (await refusal(login.getInvite({ token: 'guess', clientAddress }))).kind;
    const kinds: string[] = [];
    for (let count = 1; count < 30; count += 1)
      kinds.push(await guess(`[2001:db8::${count}]:40${count}`));
    expect(kinds).toContain('resource_exhausted');
    expect(await guess('192.0.2.99:4000')).toBe('not_found');
    expect(await guess('[2001:db8:0:1::1]:4000')).toBe('not_found');
  });

  it('counts a flood of failures instead of writing each', async () => {
    const address = '192.0.2.90';
    for (let count = 0; count < 40; count += 1) {
      await refusal(attempt({ user: 'flooder', address }));
      cluster.clock.advance(1_200);
    }
    const written = (await cluster.events('login.failed')).filter(
      (event) => event.actor.name === 'flooder',
    );
    expect(written.length).toBeLessThan(30);
  });

  it('refuses a locked person with the message of the lock, and only after the right password', async () => {
    const locked = await addPerson(cluster, ada, { name: 'locked', roles: ['dev'] });
    const session = await logIn(cluster, locked);
    const { documentJson } = await ada.admin.createLock({ user: 'locked', message: 'incident 7' });
    expect(await refusal(logIn(cluster, locked))).toMatchObject({
      kind: 'failed_precondition',
      message: 'locked: incident 7',
    });
    expect(await refusal(session.login.getSelf({}))).toMatchObject({
      message: 'locked: incident 7',
    });
    expect(await refusal(attempt({ user: 'locked', password: 'wrong wrong' }))).toMatchObject({
      message: wrong,
    });
    const { metadata } = JSON.parse(documentJson) as { metadata: { name: string } };
    await ada.admin.deleteDocument({ kind: 'lock', name: metadata.name });
    await session.login.getSelf({});
  });

  it('ends a login at logout: its certificates are refused from then on, those of another login are not', async () => {
    const one = await logIn(cluster, alice);
    const two = await logIn(cluster, alice);
    await one.login.getSelf({});
    await one.login.logout({});
    expect(await refusal(one.login.getSelf({}))).toMatchObject({ kind: 'unauthenticated' });
    expect((await two.login.getSelf({})).self?.user).toBe('alice');
    expect((await cluster.events('logout.done')).map((event) => event.actor.loginId)).toContain(
      one.loginId,
    );
  });

  it('keeps the source address on renewal and refuses the certificate from another one', async () => {
    await applyYamlLike(ada, {
      kind: 'role',
      version: 'v1',
      metadata: { name: 'pinned' },
      spec: { options: { pin_source_ip: true }, allow: {} },
    });
    const pinned = await addPerson(cluster, ada, { name: 'pinned', roles: ['pinned'] });
    const person = await logIn(cluster, pinned, { address: '192.0.2.10' });
    const elsewhere = await cluster.person(person.keys, '192.0.2.11');
    await person.login.getSelf({});
    expect(await refusal(elsewhere.login.getSelf({}))).toMatchObject({ kind: 'unauthenticated' });
    const { spki } = generateKeyPair('p256');
    const again = await person.login.reissue({
      sshPublicKey: sshPublicKeyFromSpki(spki),
      tlsPublicKey: spki,
    });
    const identity = verifyTlsCertificate(again.issued?.tlsCertificate ?? Buffer.alloc(0), {
      authorities: cluster.service.trust().userTlsCa,
      nowMs: cluster.clock.now(),
    }).identity;
    expect(identity?.sourceIp).toBe('192.0.2.10');
  });

  it('refuses keys that are certificates, too small, or an authority’s own', async () => {
    const { spki } = generateKeyPair('p256');
    const { login } = await cluster.person();
    const base = { user: alice.name, password: alice.password, tlsPublicKey: spki };
    cluster.clock.advance(30_000);
    const otp = () => {
      cluster.clock.advance(30_000);
      return otpOf(alice.totpUri, cluster.clock.now());
    };
    const person = await logIn(cluster, alice);
    expect(
      await refusal(login.login({ ...base, otp: otp(), sshPublicKey: person.sshCertificate })),
    ).toMatchObject({ kind: 'invalid_argument' });
    const caLine = cluster.service.trust().userSsh[0] ?? '';
    const caBlob = Buffer.from(caLine.split(' ')[1] ?? '', 'base64');
    expect(await refusal(login.login({ ...base, otp: otp(), sshPublicKey: caBlob }))).toMatchObject(
      { kind: 'invalid_argument' },
    );
  });

  it('keeps passwords, codes and tokens out of logs and events', async () => {
    const text = [
      ...cluster.logLines,
      ...(await cluster.events()).map((event) => JSON.stringify(event)),
    ].join('\n');
    expect(text).not.toContain(password);
    expect(text).not.toContain('inv-');
    expect(text).not.toContain('otpauth');
    expect(text).toContain('alice');
  });

  it('refuses weak passwords without using the link up', async () => {
    const link = await ada.admin.createUserInvite({ user: 'weak', roles: ['dev'] });
    for (const bad of ['short', 'aaaaaaaaaaaaaa', '1234567890', 'password123', 'weakweak1234']) {
      const { login } = await cluster.person();
      expect(await refusal(login.acceptInvite({ token: link.token, password: bad }))).toMatchObject(
        { kind: 'invalid_argument' },
      );
    }
    await acceptInvite(cluster, { token: link.token, name: '' });
  });

  it('takes a join token for no link, in the words for any other; the audit tells it apart', async () => {
    const at = (await cluster.events('login.failed')).length;
    const { login } = await cluster.person();
    const token = await cluster.service.createAgentToken();
    const of = async (wrong: string) => refusal(login.getInvite({ token: wrong }));
    expect(await of(token)).toEqual(await of(token.replace('join-', 'inv-')));
    const reasons = (await cluster.events('login.failed')).slice(at).map(({ reason }) => reason);
    expect(reasons).toEqual(['wrong_kind', 'link']);
  });

  it('says why a certificate is refused, and audits it: of another kind, from elsewhere, of a stranger', async () => {
    const at = (await cluster.events('connection.refused')).length;
    const { privateKeyPem, spki } = generateKeyPair('p256');
    const { enrollment } = await cluster.person();
    const token = await cluster.service.createAgentToken();
    const joined = await enrollment.enrollAgent({ token, name: 'kinds', publicKey: spki });
    const asAgent = await cluster.person({ privateKeyPem, certificate: joined.certificate });
    expect(await refusal(asAgent.admin.listTargets({}))).toMatchObject({
      kind: 'permission_denied',
    });
    const stranger = await issueTestUser(await createTestAuthorities('test'));
    const asStranger = await cluster.person({
      privateKeyPem: stranger.privateKeyPem,
      certificate: stranger.tlsCertificate,
    });
    expect(await refusal(asStranger.admin.listTargets({}))).toMatchObject({
      kind: 'unauthenticated',
    });
    await expect
      .poll(
        async () =>
          (await cluster.events('connection.refused')).slice(at).map((event) => event.reason),
        { timeout: 15_000 },
      )
      .toEqual(['wrong_kind', 'unknown_ca']);
  });

  it('reissues inside the life of the login and never beyond it', async () => {
    const person = await logIn(cluster, alice, { ttlSeconds: 3600 });
    const { spki } = generateKeyPair('p256');
    const request = { sshPublicKey: sshPublicKeyFromSpki(spki), tlsPublicKey: spki };
    const first = await person.login.reissue({
      ...request,
      routeJson: '{"kind":"database","name":"pg-1","user":"reader"}',
    });
    expect(first.issued?.validUntil?.getTime()).toBe(person.validUntilMs);
    const identity = verifyTlsCertificate(first.issued?.tlsCertificate ?? Buffer.alloc(0), {
      authorities: cluster.service.trust().userTlsCa,
      nowMs: cluster.clock.now(),
    }).identity;
    expect(identity).toMatchObject({
      loginId: person.loginId,
      route: { kind: 'database', name: 'pg-1', user: 'reader' },
    });
    expect(identity?.mfaAt).toBeDefined();
    expect(
      await refusal(person.login.reissue({ ...request, routeJson: '{"kind":"x"}' })),
    ).toMatchObject({ kind: 'invalid_argument' });
    cluster.clock.advance(3_601_000);
    const late = await refusal(person.login.reissue(request));
    expect(late).toMatchObject({
      kind: 'unauthenticated',
      message: expect.stringMatching(/^certificate expired at .*; run gate login$/) as string,
    });
  });
});
