/** SSH host certificates: only for names of the inventory and for the port itself, 24 h (D21). */
import { issueSshCertificate } from '@gatehouse/identity';
import { foldName } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { findDocuments } from '../store/documents.js';
import { checkSshKey, createSerial } from './keys.js';
import { backdateMs, floorToSecond } from './person-certificates.js';

type Needs = Pick<Deps, 'authorities' | 'clock' | 'clusterName' | 'config'>;

export interface HostCertificateRequest {
  /** For the key id. */
  readonly subject: string;
  readonly principals: readonly string[];
  readonly publicKey: Buffer;
}

export async function issueHostCertificate(
  deps: Needs,
  request: HostCertificateRequest,
): Promise<{ certificate: Buffer; validUntil: Date }> {
  const { authorities, clock, config } = deps;
  const validBeforeMs = floorToSecond(clock.now() + config.ttl.host_certificate);
  const certificate = await issueSshCertificate({
    type: 'host',
    publicKey: checkSshKey(authorities, request.publicKey),
    serial: createSerial(),
    keyId: request.subject,
    principals: request.principals,
    validAfterMs: floorToSecond(clock.now() - backdateMs),
    validBeforeMs,
    signer: authorities.sshSigner('host_ssh'),
  });
  return { certificate, validUntil: new Date(validBeforeMs) };
}

/** Both names reach the same node: its own and the one below the cluster's. OpenSSH compares lower-cased names. */
export function nodePrincipals(deps: Pick<Deps, 'clusterName'>, name: string): string[] {
  const names = [name, name.toLowerCase()].flatMap((one) => [one, `${one}.${deps.clusterName}`]);
  return [...new Set(names)];
}

/** Names of the port: the public one, with and without brackets or port, and those of the configuration. */
function portPrincipals(deps: Pick<Deps, 'config'>): string[] {
  const host = deps.config.public_addr.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return [...new Set([host, ...deps.config.public_names])];
}

export interface NamedHostCertificate {
  /** Empty: the port's own. */
  readonly name: string;
  readonly certificate: Buffer;
  readonly validUntil: Date;
}

const maxNames = 1_000;

/** One certificate per name of the inventory; unknown names are left out. `port`: one more for the port's own names. */
export async function issueHostCertificates(
  deps: Needs & Pick<Deps, 'store'>,
  request: {
    readonly names: readonly string[];
    readonly port: boolean;
    readonly publicKey: Buffer;
  },
): Promise<NamedHostCertificate[]> {
  const { publicKey } = request;
  const names = request.names.slice(0, maxNames);
  const nodes = await findDocuments(deps.store.database, 'node', names.map(foldName));
  const byName = new Map(nodes.map((node) => [node.folded, node.name]));
  const certificates: NamedHostCertificate[] = [];
  for (const asked of names) {
    const name = byName.get(foldName(asked));
    if (name === undefined) continue;
    const issued = await issueHostCertificate(deps, {
      subject: name,
      principals: nodePrincipals(deps, name),
      publicKey,
    });
    certificates.push({ name: asked, ...issued });
  }
  if (request.port) {
    const issued = await issueHostCertificate(deps, {
      subject: deps.clusterName,
      principals: portPrincipals(deps),
      publicKey,
    });
    certificates.push({ name: '', ...issued });
  }
  return certificates;
}
