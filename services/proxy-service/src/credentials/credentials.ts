/** Keys and certificates that this proxy holds for its protocols: host certificates, and people's upstream certificates. */
import {
  generateKeyPair,
  parseSshPublicKey,
  sshPublicKey,
  verifySshUserCertificate,
  type Identity,
  type SshUserProof,
} from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { GatehouseError } from '@gatehouse/kit/errors';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { Membership, PolicyView } from '@gatehouse/membership';
import { CredentialServiceDefinition } from '@gatehouse/proto/auth/v1/credential_service';
import {
  hostError,
  type HostCertificate,
  type ProxyCredentials,
  type TargetCertificate,
} from '@gatehouse/protocol-api';

export interface CredentialsDeps {
  readonly membership: Membership;
  readonly policy: PolicyView;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Credentials extends ProxyCredentials {
  /** When the certificate that gave this identity ends; an identity from elsewhere never did. */
  identityEndsAt(identity: Identity): number;
  /** Remembers the end of a certificate that was verified elsewhere (TLS). */
  noteIdentity(identity: Identity, endsAtMs: number): void;
}

interface KeptHostCertificate {
  readonly certificate: HostCertificate;
  readonly renewAtMs: number;
  readonly endsAtMs: number;
}

interface KeptTargetCertificate extends TargetCertificate {
  readonly logins: readonly string[];
}

const maxBatch = 200;
const maxKeptLogins = 10_000;
/** A certificate with less left than this is replaced before it is used. */
const marginMs = 120_000;

export function createCredentials(deps: CredentialsDeps): Credentials {
  return new ProxyKeys(deps);
}

class ProxyKeys implements Credentials {
  readonly #deps: CredentialsDeps;
  readonly #hostKey = generateKeyPair('ed25519');
  readonly #hostCertificates = new Map<string, KeptHostCertificate>();
  readonly #targetCertificates = new Map<string, KeptTargetCertificate>();
  readonly #endsAt = new WeakMap<Identity, number>();
  #isPrefetching = false;
  #authorities: { trust: object; user: Buffer[]; host: Buffer[] } | undefined;

  constructor(deps: CredentialsDeps) {
    this.#deps = deps;
    deps.policy.onChange(({ kind }) => {
      if (kind === 'snapshot' || kind === 'node') this.#prefetch();
    });
    // The first view of the policy is there before this is.
    this.#prefetch();
  }

  identityEndsAt(identity: Identity): number {
    return this.#endsAt.get(identity) ?? 0;
  }

  noteIdentity(identity: Identity, endsAtMs: number): void {
    this.#endsAt.set(identity, endsAtMs);
  }

  hostAuthorities(): readonly Buffer[] {
    return this.#trusted().host;
  }

  async verifySshUserCertificate(
    blob: Buffer,
    clientAddress: string,
  ): Promise<{ identity: Identity; validBeforeMs: number }> {
    const { identity, validBeforeMs } = verifySshUserCertificate(blob, {
      authorities: this.#trusted().user,
      nowMs: this.#deps.clock.now(),
      clientAddress,
    });
    this.#endsAt.set(identity, validBeforeMs);
    return { identity, validBeforeMs };
  }

  async hostCertificate(name: string | undefined): Promise<HostCertificate> {
    const key = name?.toLowerCase() ?? '';
    const kept = this.#hostCertificates.get(key);
    if (kept !== undefined && this.#deps.clock.now() < kept.renewAtMs) return kept.certificate;
    await this.#refreshHostCertificate(name, kept);
    const fetched = this.#hostCertificates.get(key);
    if (fetched !== undefined) return fetched.certificate;
    throw hostError('TARGET_HIDDEN', { reason: 'no_target', details: { target: name ?? '' } });
  }

  /** Fetches a certificate; while the kept one holds, a failure only waits for the next try. */
  async #refreshHostCertificate(
    name: string | undefined,
    kept: KeptHostCertificate | undefined,
  ): Promise<void> {
    try {
      await this.#fetchHostCertificates(name === undefined ? [] : [name], name === undefined);
    } catch (thrown) {
      if (kept === undefined || this.#deps.clock.now() >= kept.endsAtMs) throw unavailable(thrown);
    }
  }

  /** Fetches host certificates for all targets ahead of need. */
  #prefetch(): void {
    if (this.#isPrefetching) return;
    this.#isPrefetching = true;
    runInBackground(
      async () => {
        try {
          await this.#fetchMissing();
        } finally {
          this.#isPrefetching = false;
        }
      },
      this.#deps.logger,
      'host certificates could not be fetched ahead',
    );
  }

  async targetCertificate(
    proof: SshUserProof,
    login: string,
    clientAddress = '',
  ): Promise<TargetCertificate> {
    const { identity } = await this.verifySshUserCertificate(
      proof.certificate,
      'checked_elsewhere',
    );
    const kept = this.#targetCertificates.get(identity.loginId);
    const isFresh = kept !== undefined && kept.validBeforeMs - this.#deps.clock.now() > marginMs;
    if (isFresh && kept.logins.includes(login)) return kept;
    try {
      return await this.#fetchTargetCertificate(proof, { identity, login, clientAddress });
    } catch (thrown) {
      if (
        kept !== undefined &&
        kept.validBeforeMs > this.#deps.clock.now() &&
        kept.logins.includes(login)
      )
        return kept;
      throw unavailable(thrown);
    }
  }

  async #fetchTargetCertificate(
    proof: SshUserProof,
    wanted: { identity: Identity; login: string; clientAddress: string },
  ): Promise<TargetCertificate> {
    const { privateKeyPem } = generateKeyPair('ed25519');
    const client = this.#deps.membership.auth.client(CredentialServiceDefinition);
    const answer = await client.issueTargetCertificate({
      certificate: proof.certificate,
      signedData: proof.signedData,
      signature: proof.signature,
      publicKey: sshPublicKey(privateKeyPem),
      clientAddress: wanted.clientAddress,
      login: wanted.login,
    });
    const { certificate, logins, validUntil } = answer;
    if (!logins.includes(wanted.login)) throw loginNotAllowed(wanted);
    const kept = { privateKeyPem, certificate, logins, validBeforeMs: validUntil?.getTime() ?? 0 };
    if (this.#targetCertificates.size >= maxKeptLogins) this.#targetCertificates.clear();
    this.#targetCertificates.set(wanted.identity.loginId, kept);
    return kept;
  }

  async #fetchMissing(): Promise<void> {
    const nowMs = this.#deps.clock.now();
    const names: string[] = [];
    for (const { kind, name } of this.#deps.policy.targets()) {
      const kept = this.#hostCertificates.get(name.toLowerCase());
      if (kind === 'node' && (kept === undefined || nowMs >= kept.renewAtMs)) names.push(name);
    }
    for (let at = 0; at < names.length || at === 0; at += maxBatch) {
      await this.#fetchHostCertificates(names.slice(at, at + maxBatch), at === 0);
    }
  }

  async #fetchHostCertificates(names: string[], port: boolean): Promise<void> {
    const { membership, clock } = this.#deps;
    const client = membership.auth.client(CredentialServiceDefinition);
    const { privateKeyPem } = this.#hostKey;
    const { certificates } = await client.issueHostCertificates({
      names,
      port,
      publicKey: sshPublicKey(privateKeyPem),
    });
    const nowMs = clock.now();
    for (const { name, certificate, validUntil } of certificates) {
      const endsAtMs = validUntil?.getTime() ?? nowMs;
      const renewAtMs = nowMs + (endsAtMs - nowMs) / 2;
      this.#hostCertificates.set(name.toLowerCase(), {
        certificate: { privateKeyPem, certificate },
        renewAtMs,
        endsAtMs,
      });
    }
  }

  #trusted(): { user: Buffer[]; host: Buffer[] } {
    const trust = this.#deps.membership.trust();
    if (this.#authorities?.trust !== trust) {
      this.#authorities = {
        trust,
        user: trust.userSsh.map(parseSshPublicKey),
        host: trust.hostSsh.map(parseSshPublicKey),
      };
    }
    return this.#authorities;
  }
}

/** Roles changed since the session was decided: what is left is for logins that they allow somewhere. */
function loginNotAllowed(wanted: { identity: Identity; login: string }): GatehouseError {
  const { identity, login } = wanted;
  return hostError('LOGIN_NOT_ALLOWED', {
    reason: 'login_not_allowed_here',
    details: { user: identity.user, login, target: 'any target' },
    remedy: 'gate ls',
  });
}

function unavailable(thrown: unknown): unknown {
  if (!(thrown instanceof GatehouseError) || thrown.kind !== 'unavailable') return thrown;
  return hostError('AUTH_UNAVAILABLE', { reason: 'auth_unavailable', cause: thrown });
}
