import { formatSshPublicKey } from '@gatehouse/identity';
import { createTestAuthorities, issueTestUser } from '@gatehouse/identity/testing';
import { systemClock } from '@gatehouse/kit/clock';
import { createLogger } from '@gatehouse/kit/log';
import type { Membership } from '@gatehouse/membership';
import { expect, it } from 'vitest';

import { createTestPolicy } from '../sessions/testing.js';
import { createCredentials } from './credentials.js';

const logger = createLogger({ name: 'test', level: 'silent' });

/** Credentials of a proxy whose auth-service gives certificates for `answer.logins`, and alice's proof. */
async function create() {
  const authorities = await createTestAuthorities();
  const user = await issueTestUser(authorities);
  const answer = { logins: ['root'], asked: 0 };
  const issueTargetCertificate = async () => {
    answer.asked += 1;
    const validUntil = new Date(Date.now() + 3_600_000);
    return { certificate: Buffer.from('certificate'), logins: answer.logins, validUntil };
  };
  const trust = { userSsh: [formatSshPublicKey(authorities.userSsh.publicKey)], hostSsh: [] };
  const membership = {
    auth: { client: () => ({ issueTargetCertificate }) },
    trust: () => trust,
  } as unknown as Membership;
  const policy = createTestPolicy().view;
  const credentials = createCredentials({ membership, policy, clock: systemClock, logger });
  const certificate = user.sshCertificate;
  const proof = { certificate, signedData: Buffer.alloc(0), signature: Buffer.alloc(0) };
  return { answer, ask: async (login: string) => credentials.targetCertificate(proof, login) };
}

it('asks once for a certificate that serves several logins', async () => {
  const { answer, ask } = await create();
  answer.logins = ['root', 'deploy'];
  expect(await ask('root')).toBe(await ask('deploy'));
  expect(answer.asked).toBe(1);
});

it('refuses a certificate that is not for the wanted login, and does not keep it', async () => {
  const { answer, ask } = await create();
  const forRoot = await ask('root');
  answer.logins = ['deploy'];
  // Else the target says no to a login that the person is told they have, and each other login is asked for anew.
  await expect(ask('admin')).rejects.toMatchObject({
    code: 'LOGIN_NOT_ALLOWED',
    reason: 'login_not_allowed_here',
  });
  expect(await ask('root')).toBe(forRoot);
  expect(answer.asked).toBe(2);
});
