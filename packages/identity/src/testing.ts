/** What tests of other packages need: all seven authorities in memory, people, services, agents and hosts. */
import { createId } from '@gatehouse/kit/ids';

import { encodeIdentity, type Identity } from './identity.js';
import { createSigner, generateKeyPair, readSpki, type Signer } from './keys.js';
import type { PartName, ServiceKind } from './part-name.js';
import {
  identityExtension,
  issueSshCertificate,
  parseSshCertificate,
  type SshCertificateRequest,
} from './ssh-certificate.js';
import { sshPublicKeyFromSpki } from './ssh-keys.js';
import { encodeSshSignature } from './ssh-signature.js';
import { encodeSshString } from './ssh-wire.js';
import { createTlsAuthority, issueTlsCertificate, issueUnchecked } from './x509-issue.js';

export { issueUnchecked as issueUncheckedTlsCertificate } from './x509-issue.js';
export { fuzzTargets, type FuzzTarget } from './fuzz-targets.js';

export interface TestSshAuthority {
  readonly privateKeyPem: string;
  readonly signer: Signer;
  /** Wire blob. */
  readonly publicKey: Buffer;
}

export interface TestTlsAuthority {
  readonly privateKeyPem: string;
  readonly signer: Signer;
  /** DER. */
  readonly certificate: Buffer;
}

export interface TestAuthorities {
  readonly cluster: string;
  readonly userSsh: TestSshAuthority;
  readonly targetSsh: TestSshAuthority;
  readonly hostSsh: TestSshAuthority;
  readonly userTls: TestTlsAuthority;
  readonly hostTls: TestTlsAuthority;
  readonly dbClient: TestTlsAuthority;
  readonly appJwt: { readonly privateKeyPem: string; readonly signer: Signer };
}

/** All seven CAs, in memory: SSH with Ed25519, TLS with P-256. @param cluster default `test` */
export async function createTestAuthorities(cluster = 'test'): Promise<TestAuthorities> {
  const appJwt = generateKeyPair('p256').privateKeyPem;
  return {
    cluster,
    userSsh: createTestSshAuthority(),
    targetSsh: createTestSshAuthority(),
    hostSsh: createTestSshAuthority(),
    userTls: await createTestTlsAuthority(`${cluster} user_tls`),
    hostTls: await createTestTlsAuthority(`${cluster} host_tls`),
    dbClient: await createTestTlsAuthority(`${cluster} db_client`),
    appJwt: { privateKeyPem: appJwt, signer: createSigner(appJwt) },
  };
}

/** One more SSH CA, for example a stranger's. */
export function createTestSshAuthority(type: 'ed25519' | 'p256' = 'ed25519'): TestSshAuthority {
  const { privateKeyPem, spki } = generateKeyPair(type);
  return {
    privateKeyPem,
    signer: createSigner(privateKeyPem),
    publicKey: sshPublicKeyFromSpki(spki),
  };
}

/** One more TLS CA, for example a stranger's. Valid for 10 years. */
export async function createTestTlsAuthority(
  commonName: string,
  type: 'ed25519' | 'p256' = 'p256',
): Promise<TestTlsAuthority> {
  const { privateKeyPem } = generateKeyPair(type);
  const certificate = await createTlsAuthority({
    commonName,
    privateKeyPem,
    nowMs: Date.now(),
    days: 3650,
  });
  return { privateKeyPem, signer: createSigner(privateKeyPem), certificate };
}

export interface TestValidity {
  /** Default: 2 min ago. */
  readonly validAfterMs?: number;
  /** Default: in 1 h. */
  readonly validBeforeMs?: number;
}

export interface TestUser {
  readonly identity: Identity;
  readonly privateKeyPem: string;
  readonly spki: Buffer;
  /** Plain wire blob. */
  readonly sshPublicKey: Buffer;
  /** Wire blob. */
  readonly sshCertificate: Buffer;
  /** DER. */
  readonly tlsCertificate: Buffer;
}

export interface TestUserOptions extends Partial<Identity>, TestValidity {
  /** Default p256. */
  readonly keyType?: 'ed25519' | 'p256';
  /** Puts this text where the payload belongs, however broken; null leaves it out. */
  readonly payload?: string | null;
  /** SSH principals. Default: the user. */
  readonly principals?: readonly string[];
}

/** A person with an SSH and an X.509 certificate on one key. Fields of the identity may be given (default alice, access). */
export async function issueTestUser(
  authorities: TestAuthorities,
  options: TestUserOptions = {},
): Promise<TestUser> {
  const {
    keyType,
    payload,
    principals,
    validAfterMs: _from,
    validBeforeMs: _until,
    ...given
  } = options;
  const identity: Identity = { ...defaultIdentity, loginId: createId('lgn'), ...given };
  const { privateKeyPem, spki } = generateKeyPair(keyType ?? 'p256');
  const publicKey = sshPublicKeyFromSpki(spki);
  const { validAfterMs, validBeforeMs } = validityOf(options);
  const json = payload === undefined ? encodeIdentity(identity) : payload;
  const sshCertificate = await issueSshCertificate({
    type: 'user',
    publicKey,
    serial: 1n,
    keyId: identity.user,
    principals: principals ?? [identity.user],
    validAfterMs,
    validBeforeMs,
    extensions: json === null ? userExtensions : { ...userExtensions, [identityExtension]: json },
    signer: authorities.userSsh.signer,
  });
  const tlsCertificate = await issueUnchecked({
    authority: authorities.userTls,
    publicKeySpki: spki,
    part: { cluster: authorities.cluster, type: 'user', name: identity.user },
    ...(json === null ? {} : { identityJson: json }),
    notBeforeMs: validAfterMs,
    notAfterMs: validBeforeMs,
    usage: 'client',
  });
  return { identity, privateKeyPem, spki, sshPublicKey: publicKey, sshCertificate, tlsCertificate };
}

const defaultIdentity = {
  v: 1,
  user: 'alice',
  roles: ['access'],
  traits: { logins: ['alice'] },
} as const;

const userExtensions = {
  'permit-agent-forwarding': '',
  'permit-port-forwarding': '',
  'permit-pty': '',
} as const;

export interface TestPart {
  readonly part: PartName;
  readonly privateKeyPem: string;
  readonly spki: Buffer;
  /** host_tls certificate, DER, for localhost, 127.0.0.1 and the given names; client and server. */
  readonly certificate: Buffer;
}

export interface TestPartOptions extends TestValidity {
  readonly id?: string;
  readonly dnsNames?: readonly string[];
}

export async function issueTestService(
  authorities: TestAuthorities,
  kind: ServiceKind,
  options: TestPartOptions = {},
): Promise<TestPart> {
  const id = options.id ?? createId('srv');
  return issueTestPart(
    authorities,
    { cluster: authorities.cluster, type: 'service', kind, id },
    options,
  );
}

export async function issueTestAgent(
  authorities: TestAuthorities,
  options: TestPartOptions = {},
): Promise<TestPart> {
  const id = options.id ?? createId('agt');
  return issueTestPart(authorities, { cluster: authorities.cluster, type: 'agent', id }, options);
}

async function issueTestPart(
  authorities: TestAuthorities,
  part: PartName,
  options: TestPartOptions,
): Promise<TestPart> {
  const { privateKeyPem, spki } = generateKeyPair('p256');
  const { validAfterMs, validBeforeMs } = validityOf(options);
  const certificate = await issueTlsCertificate({
    authority: authorities.hostTls,
    publicKeySpki: spki,
    part,
    dnsNames: ['localhost', ...(options.dnsNames ?? [])],
    ipAddresses: ['127.0.0.1', '::1'],
    notBeforeMs: validAfterMs,
    notAfterMs: validBeforeMs,
    usage: 'both',
  });
  return { part, privateKeyPem, spki, certificate };
}

export interface TestHost {
  readonly privateKeyPem: string;
  /** Plain wire blob. */
  readonly publicKey: Buffer;
  /** Wire blob. */
  readonly certificate: Buffer;
}

/** A host key with a `host_ssh` certificate for `principals`. */
export async function issueTestHost(
  authorities: TestAuthorities,
  principals: readonly string[],
  options: TestValidity = {},
): Promise<TestHost> {
  const { privateKeyPem, spki } = generateKeyPair('ed25519');
  const publicKey = sshPublicKeyFromSpki(spki);
  const certificate = await issueSshCertificate({
    type: 'host',
    publicKey,
    serial: 1n,
    keyId: principals.join(','),
    principals,
    ...validityOf(options),
    signer: authorities.hostSsh.signer,
  });
  return { privateKeyPem, publicKey, certificate };
}

/** A key with a `target_ssh` certificate for logging in upstream as `login`. */
export async function issueTestLogin(
  authorities: TestAuthorities,
  login: string,
  options: TestValidity = {},
): Promise<TestHost> {
  const { privateKeyPem, spki } = generateKeyPair('ed25519');
  const publicKey = sshPublicKeyFromSpki(spki);
  const certificate = await issueSshCertificate({
    type: 'user',
    publicKey,
    serial: 1n,
    keyId: login,
    principals: [login],
    ...validityOf(options),
    extensions: userExtensions,
    signer: authorities.targetSsh.signer,
  });
  return { privateKeyPem, publicKey, certificate };
}

/**
 * A certificate whose signature key is `signatureKey`, signed by the request's signer: what someone makes who puts a
 * certificate of their own where a CA's key belongs (CRT-02).
 */
export async function forgeSshCertificate(
  request: SshCertificateRequest,
  signatureKey: Buffer,
): Promise<Buffer> {
  const honest = parseSshCertificate(await issueSshCertificate(request));
  const body = honest.signedBytes.subarray(
    0,
    honest.signedBytes.length - 4 - honest.signatureKey.length,
  );
  const toSign = Buffer.concat([body, encodeSshString(signatureKey)]);
  const signature = await request.signer.sign(toSign);
  return Buffer.concat([
    toSign,
    encodeSshString(encodeSshSignature(readSpki(request.signer.publicKeySpki), signature)),
  ]);
}

function validityOf(options: TestValidity): { validAfterMs: number; validBeforeMs: number } {
  const now = Date.now();
  return {
    validAfterMs: options.validAfterMs ?? now - 120_000,
    validBeforeMs: options.validBeforeMs ?? now + 3_600_000,
  };
}
