/**
 * First start (D31): one transaction under one lock makes the cluster's row, its authorities and the built-in roles.
 * Any number of replicas may start at once on one empty database; one makes everything, the others find it made.
 */
import { createTlsAuthority, generateKeyPair, sshPublicKey } from '@gatehouse/identity';
import { createId } from '@gatehouse/kit/ids';
import { builtinRoles, foldName } from '@gatehouse/policy';

import { authorityPlace } from '../authorities/authorities.js';
import { canonicalJson } from '../documents/canonical-json.js';
import { authError } from '../errors.js';
import { noteActiveKey } from '../sealing/check-keys.js';
import type { Keyring } from '../sealing/keyring.js';
import { insertAuthority, insertCluster, readClusterName } from '../store/cluster.js';
import { findDocument, putDocument } from '../store/documents.js';
import type { ChangeScope, Store } from '../store/store.js';
import type { AuthorityKind, JsonObject } from '../store/tables.js';

const authorityKinds: readonly AuthorityKind[] = [
  'user_ssh',
  'target_ssh',
  'host_ssh',
  'user_tls',
  'host_tls',
  'db_client',
  'app_jwt',
];

/** How long a CA certificate lasts. */
const authorityDays = 3650;

/** Makes what is missing. @throws CLUSTER_MISMATCH where the database is another cluster's */
export async function bootstrapCluster(
  store: Store,
  keyring: Keyring,
  clusterName: string,
): Promise<void> {
  await store.change(async (scope) => {
    const stored = await readClusterName(scope.tx);
    if (stored !== undefined && stored !== clusterName) {
      throw authError('CLUSTER_MISMATCH', { details: { stored, configured: clusterName } });
    }
    await noteActiveKey(scope.tx, keyring, scope.now);
    if (stored === undefined) {
      await insertCluster(scope.tx, clusterName, scope.now);
      for (const kind of authorityKinds)
        await createAuthority(scope, { kind, keyring, clusterName });
    }
    await putBuiltinRoles(scope);
  });
}

async function createAuthority(
  scope: ChangeScope,
  options: { kind: AuthorityKind; keyring: Keyring; clusterName: string },
): Promise<void> {
  const { kind, keyring, clusterName } = options;
  const { privateKeyPem, spki } = generateKeyPair(kind.endsWith('_ssh') ? 'ed25519' : 'p256');
  const id = createId('crt', scope.now.getTime());
  const commonName = `${clusterName} ${kind} ${id.slice(-8)}`;
  let publicKey = spki;
  if (kind.endsWith('_ssh')) publicKey = sshPublicKey(privateKeyPem);
  else if (kind !== 'app_jwt') {
    publicKey = await createTlsAuthority({
      commonName,
      privateKeyPem,
      nowMs: scope.now.getTime(),
      days: authorityDays,
    });
  }
  const privateKey = keyring.seal(authorityPlace({ id, kind }), Buffer.from(privateKeyPem));
  await insertAuthority(scope.tx, { id, kind, state: 'active', publicKey, privateKey }, scope.now);
}

/** Built-in roles follow the program: a newer version may change them. */
async function putBuiltinRoles(scope: ChangeScope): Promise<void> {
  for (const role of builtinRoles()) {
    const { name, ...metadata } = role.metadata;
    const body: JsonObject = { metadata, spec: role.spec };
    const folded = foldName(name);
    const stored = await findDocument(scope.tx, 'role', folded);
    if (stored?.origin === 'builtin' && isSameJson(stored.body, body)) continue;
    const revision = (stored?.revision ?? 0) + 1;
    const write = {
      kind: 'role',
      name,
      folded,
      revision,
      body,
      origin: 'builtin' as const,
      now: scope.now,
    };
    await putDocument(scope.tx, write);
    scope.publish({
      kind: 'role',
      name,
      body: {
        kind: 'role',
        version: 'v1',
        metadata: { name, ...metadata, revision },
        spec: role.spec,
      },
    });
  }
}

function isSameJson(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}
