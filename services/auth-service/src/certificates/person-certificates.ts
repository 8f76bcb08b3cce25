/** A person's two certificates, SSH and X.509: one payload, one beginning, one end (D3, CRT-03). */
import {
  issueSshCertificate,
  issueTlsCertificate,
  type Identity,
  type Route,
} from '@gatehouse/identity';

import type { Deps } from '../deps.js';
import type { StoredLogin } from '../store/logins.js';
import { checkSshKey, checkTlsKey, createSerial } from './keys.js';

/** Certificates begin so much earlier than now (D34). */
export const backdateMs = 120_000;

/** What OpenSSH's own tools expect of a user certificate. Who may do what is decided by roles, not here. */
export const sessionExtensions: Readonly<Record<string, string>> = {
  'permit-X11-forwarding': '',
  'permit-agent-forwarding': '',
  'permit-port-forwarding': '',
  'permit-pty': '',
  'permit-user-rc': '',
};

export interface PersonCertificateRequest {
  readonly login: StoredLogin;
  readonly sshPublicKey: Buffer;
  readonly tlsPublicKey: Buffer;
  /** Roles to write down: those of the login that the person still has. */
  readonly roles: readonly string[];
  readonly route?: Route;
  readonly validBeforeMs: number;
}

export interface PersonCertificates {
  readonly ssh: Buffer;
  readonly tls: Buffer;
  readonly identity: Identity;
  /** Of both; whole seconds, as SSH counts. */
  readonly validBeforeMs: number;
}

/** Signs both. The restrictions of the login (MFA time, address, requests) are in every one of them (CRT-04). */
export async function issuePersonCertificates(
  deps: Pick<Deps, 'authorities' | 'clock' | 'clusterName'>,
  request: PersonCertificateRequest,
): Promise<PersonCertificates> {
  const { authorities, clock, clusterName } = deps;
  const sshKey = checkSshKey(authorities, request.sshPublicKey);
  const tlsKey = checkTlsKey(authorities, request.tlsPublicKey);
  const identity = identityOf(request);
  const validAfterMs = floorToSecond(clock.now() - backdateMs);
  const validBeforeMs = floorToSecond(request.validBeforeMs);
  const ssh = await issueSshCertificate({
    type: 'user',
    publicKey: sshKey,
    serial: createSerial(),
    keyId: `${identity.user} ${identity.loginId}`,
    principals: [identity.user],
    validAfterMs,
    validBeforeMs,
    extensions: sessionExtensions,
    identity,
    signer: authorities.sshSigner('user_ssh'),
  });
  const tls = await issueTlsCertificate({
    authority: authorities.tlsAuthority('user_tls'),
    publicKeySpki: tlsKey,
    part: { cluster: clusterName, type: 'user', name: identity.user },
    commonName: identity.user,
    identity,
    notBeforeMs: validAfterMs,
    notAfterMs: validBeforeMs,
    usage: 'client',
  });
  return { ssh, tls, identity, validBeforeMs };
}

function identityOf({ login, roles, route }: PersonCertificateRequest): Identity {
  return {
    v: 1,
    user: login.user,
    roles,
    traits: login.traits,
    loginId: login.id,
    ...(login.mfaAtMs === undefined ? {} : { mfaAt: new Date(login.mfaAtMs).toISOString() }),
    ...(login.sourceIp === undefined ? {} : { sourceIp: login.sourceIp }),
    ...(login.requests.length === 0 ? {} : { requests: login.requests }),
    ...(route === undefined ? {} : { route }),
  };
}

export function floorToSecond(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}
