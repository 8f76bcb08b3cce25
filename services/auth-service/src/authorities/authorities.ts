/** The cluster's certificate authorities (D4, D16): kept sealed, opened once at the start, trusted through one bundle. */
import {
  createSigner,
  formatSshPublicKey,
  type Signer,
  type TlsAuthority,
} from '@gatehouse/identity';
import type { TrustBundle } from '@gatehouse/proto/auth/v1/trust';

import { authError } from '../errors.js';
import type { Keyring, SealPlace } from '../sealing/keyring.js';
import { listAuthorities, type StoredAuthority } from '../store/cluster.js';
import type { Db } from '../store/store.js';
import type { AuthorityKind } from '../store/tables.js';

export type SshAuthorityKind = 'user_ssh' | 'target_ssh' | 'host_ssh';
export type TlsAuthorityKind = 'user_tls' | 'host_tls' | 'db_client';

/** Everything that the cluster trusts. The object stays the same for as long as nothing changes. */
export interface Trust {
  readonly bundle: TrustBundle;
  /** CA certificates, DER. */
  readonly userTlsCa: readonly Buffer[];
  readonly hostTlsCa: readonly Buffer[];
  readonly dbClientCa: readonly Buffer[];
  /** SSH keys, wire blobs. */
  readonly userSsh: readonly Buffer[];
  readonly targetSsh: readonly Buffer[];
  readonly hostSsh: readonly Buffer[];
}

export interface Authorities {
  sshSigner(kind: SshAuthorityKind): Signer;
  tlsAuthority(kind: TlsAuthorityKind): TlsAuthority;
  trust(): Trust;
  /** Public keys (SPKI, hex) of all authorities: nobody gets a certificate for one of them. */
  isAuthorityKey(spki: Buffer): boolean;
  /** Reads them again, after a rotation by any replica. */
  reload(): Promise<void>;
}

/** Opens the authorities of a database. @throws SEAL_BROKEN where a row was moved or changed */
export async function openAuthorities(
  db: Db,
  keyring: Keyring,
  clusterName: string,
): Promise<Authorities> {
  let held = await readAuthorities(db, keyring, clusterName);
  const active = (kind: AuthorityKind) => {
    const found = held.active.get(kind);
    if (found === undefined)
      throw authError('SEAL_BROKEN', { message: `no active authority ${kind}` });
    return found;
  };
  return {
    sshSigner: (kind) => active(kind).signer,
    tlsAuthority: (kind) => ({ certificate: active(kind).publicKey, signer: active(kind).signer }),
    trust: () => held.trust,
    isAuthorityKey: (spki) => held.keys.has(spki.toString('hex')),
    async reload() {
      held = await readAuthorities(db, keyring, clusterName);
    },
  };
}

/** Where an authority's private key is sealed for. */
export function authorityPlace(authority: Pick<StoredAuthority, 'id' | 'kind'>): SealPlace {
  return { table: 'authority', column: 'private_key', row: `${authority.kind}/${authority.id}` };
}

interface Held {
  readonly active: ReadonlyMap<
    AuthorityKind,
    { readonly publicKey: Buffer; readonly signer: Signer }
  >;
  readonly keys: ReadonlySet<string>;
  readonly trust: Trust;
}

async function readAuthorities(db: Db, keyring: Keyring, clusterName: string): Promise<Held> {
  const stored = await listAuthorities(db);
  const active = new Map<AuthorityKind, { publicKey: Buffer; signer: Signer }>();
  const keys = new Set<string>();
  for (const authority of stored) {
    const pem = keyring.open(authorityPlace(authority), authority.privateKey).toString();
    const signer = createSigner(pem);
    keys.add(signer.publicKeySpki.toString('hex'));
    if (authority.state === 'active')
      active.set(authority.kind, { publicKey: authority.publicKey, signer });
  }
  return { active, keys, trust: createTrust(stored, clusterName) };
}

function createTrust(stored: readonly StoredAuthority[], clusterName: string): Trust {
  const of = (kind: AuthorityKind) =>
    stored.filter((one) => one.kind === kind).map((one) => one.publicKey);
  const userTlsCa = of('user_tls');
  const hostTlsCa = of('host_tls');
  const [userSsh, targetSsh, hostSsh] = [of('user_ssh'), of('target_ssh'), of('host_ssh')];
  const lines = (blobs: readonly Buffer[]) =>
    blobs.map((blob) => formatSshPublicKey(blob, clusterName));
  const bundle: TrustBundle = {
    clusterName,
    userTlsCa: [...userTlsCa],
    hostTlsCa: [...hostTlsCa],
    userSsh: lines(userSsh),
    targetSsh: lines(targetSsh),
    hostSsh: lines(hostSsh),
  };
  const dbClientCa = of('db_client');
  return { bundle, userTlsCa, hostTlsCa, dbClientCa, userSsh, targetSsh, hostSsh };
}
