/** What tests of other packages need: all seven authorities in memory, people, services and agents. */
import type { Identity } from './identity.js';
import type { Signer } from './keys.js';
import type { PartName, ServiceKind } from './part-name.js';
import { pending } from './pending.js';

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

/** All seven CAs, in memory. @param cluster default `test` */
export async function createTestAuthorities(cluster?: string): Promise<TestAuthorities> {
  return pending();
}

export interface TestValidity {
  /** Default now − 2 min. */
  readonly validAfterMs?: number;
  /** Default now + 1 h. */
  readonly validBeforeMs?: number;
}

export interface TestUser {
  readonly identity: Identity;
  readonly privateKeyPem: string;
  readonly spki: Buffer;
  readonly sshPublicKey: Buffer;
  readonly sshCertificate: Buffer;
  readonly tlsCertificate: Buffer;
}

/** A person with an SSH and an X.509 certificate on one key. Fields of the identity may be given (default alice, access). */
export async function issueTestUser(
  authorities: TestAuthorities,
  options?: Partial<Identity> & TestValidity & { readonly keyType?: 'ed25519' | 'p256' },
): Promise<TestUser> {
  return pending();
}

export interface TestPart {
  readonly part: PartName;
  readonly privateKeyPem: string;
  readonly spki: Buffer;
  /** host_tls certificate, DER, for 127.0.0.1, localhost and the given names; client and server. */
  readonly certificate: Buffer;
}

export async function issueTestService(
  authorities: TestAuthorities,
  kind: ServiceKind,
  options?: TestValidity & { readonly id?: string; readonly dnsNames?: readonly string[] },
): Promise<TestPart> {
  return pending();
}

export async function issueTestAgent(
  authorities: TestAuthorities,
  options?: TestValidity & { readonly id?: string },
): Promise<TestPart> {
  return pending();
}

export interface TestHost {
  readonly privateKeyPem: string;
  readonly publicKey: Buffer;
  /** Wire blob, signed by host_ssh. */
  readonly certificate: Buffer;
}

/** A host key with a certificate for `principals`. */
export async function issueTestHost(
  authorities: TestAuthorities,
  principals: readonly string[],
  options?: TestValidity,
): Promise<TestHost> {
  return pending();
}

/** A key with a target_ssh certificate for logging in upstream as `login`. */
export async function issueTestLogin(
  authorities: TestAuthorities,
  login: string,
  options?: TestValidity,
): Promise<TestHost> {
  return pending();
}

/** A decoder for the fuzzer. `run` may throw GatehouseError and nothing else. */
export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly Buffer[];
  run(input: Buffer): void;
}
