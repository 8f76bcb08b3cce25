/** Passwords take long to compare. What changes meanwhile must count. */
import { generateKeyPair, sshPublicKeyFromSpki } from '@gatehouse/identity';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import {
  acceptInvite,
  addPerson,
  applyYamlLike,
  engines,
  otpOf,
  refusal,
  type LoggedIn,
  type TestCluster,
  type TestPerson,
  startWithAdministrator,
} from './support.js';

/** While set, a hasher that is done tells so and waits. */
const gate = vi.hoisted((): { hold: (() => Promise<void>) | undefined } => ({ hold: undefined }));

vi.mock('@node-rs/argon2', async (importOriginal) => {
  const real = await importOriginal<typeof import('@node-rs/argon2')>();
  return {
    ...real,
    async verify(...given: Parameters<typeof real.verify>) {
      const isRight = await real.verify(...given);
      await gate.hold?.();
      return isRight;
    },
    async hash(...given: Parameters<typeof real.hash>) {
      const hash = await real.hash(...given);
      await gate.hold?.();
      return hash;
    },
  };
});

describe.each(engines)('a login that is overtaken on %s', (engine) => {
  let stack: AsyncDisposableStack;
  let cluster: TestCluster;
  let ada: LoggedIn;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    ({ cluster, ada } = await startWithAdministrator(engine, stack));
  }, 180_000);
  afterAll(async () => stack.disposeAsync());

  const logInNow = async (person: TestPerson) => {
    const { spki } = generateKeyPair('p256');
    const { login } = await cluster.person();
    return login.login({
      user: person.name,
      password: person.password,
      otp: person.totpUri === '' ? '' : otpOf(person.totpUri, cluster.clock.now()),
      sshPublicKey: sshPublicKeyFromSpki(spki),
      tlsPublicKey: spki,
    });
  };

  /** Begins `call`, does `meanwhile` once its password is hashed, and lets it go on. */
  const overtake = async <T>(call: () => Promise<T>, meanwhile: () => Promise<unknown>) => {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    gate.hold = async () => {
      gate.hold = undefined;
      reached.resolve();
      await released.promise;
    };
    const outcome = call();
    outcome.catch(() => undefined);
    await reached.promise;
    await meanwhile().finally(released.resolve);
    return outcome;
  };

  const refused = { kind: 'unauthenticated', message: 'wrong user name, password or code' };

  const expectNoLogin = async (user: string) => {
    const { database } = cluster.store;
    const logins = database.selectFrom('login').select('id').where('user_name', '=', user);
    expect(await logins.execute()).toEqual([]);
  };

  it('is refused by a reset', async () => {
    const mallory = await addPerson(cluster, ada, { name: 'mallory', roles: ['dev'] });
    const reset = async () => ada.admin.resetUser({ user: 'mallory' });
    expect(await refusal(overtake(async () => logInNow(mallory), reset))).toMatchObject(refused);
    await expectNoLogin('mallory');
    const failed = await cluster.events('login.failed');
    expect(failed.at(-1)).toMatchObject({ reason: 'bad_password', actor: { name: 'mallory' } });
  });

  describe('without a second factor', () => {
    beforeAll(async () =>
      applyYamlLike(ada, {
        kind: 'cluster_auth_preference',
        version: 'v1',
        metadata: { name: 'default' },
        spec: { second_factor: 'off' },
      }),
    );

    it('is refused by a reset', async () => {
      const person = await addPerson(cluster, ada, { name: 'reset', roles: ['dev'] });
      const reset = async () => ada.admin.resetUser({ user: 'reset' });
      expect(await refusal(overtake(async () => logInNow(person), reset))).toMatchObject(refused);
      await expectNoLogin('reset');
      const failed = await cluster.events('login.failed');
      expect(failed.at(-1)).toMatchObject({ reason: 'bad_password', actor: { name: 'reset' } });
    });

    it('is refused where the person is deleted', async () => {
      const person = await addPerson(cluster, ada, { name: 'gone', roles: ['dev'] });
      const remove = async () => ada.admin.deleteDocument({ kind: 'user', name: 'gone' });
      expect(await refusal(overtake(async () => logInNow(person), remove))).toMatchObject(refused);
      await expectNoLogin('gone');
    });

    it('is refused where somebody else has the name by now, even with the same password', async () => {
      const person = await addPerson(cluster, ada, { name: 'twin', roles: ['dev'] });
      const replace = async () => {
        await ada.admin.deleteDocument({ kind: 'user', name: 'twin' });
        await addPerson(cluster, ada, { name: 'twin', roles: ['dev'] });
      };
      expect(await refusal(overtake(async () => logInNow(person), replace))).toMatchObject(refused);
      await expectNoLogin('twin');
      await logInNow(person);
    });

    it('goes through where only roles changed', async () => {
      const person = await addPerson(cluster, ada, { name: 'moved', roles: ['dev'] });
      const spec = { roles: ['dev', 'auditor'] };
      const change = async () =>
        applyYamlLike(ada, { kind: 'user', version: 'v1', metadata: { name: 'moved' }, spec });
      await overtake(async () => logInNow(person), change);
    });
  });

  it('takes no link that was revoked while its password was hashed', async () => {
    const link = await ada.admin.createUserInvite({ user: 'late', roles: ['dev'], traits: {} });
    const accept = async () => acceptInvite(cluster, { token: link.token, name: '' });
    const reset = async () => ada.admin.resetUser({ user: 'late' });
    expect(await refusal(overtake(accept, reset))).toMatchObject({ kind: 'not_found' });
  });
});
