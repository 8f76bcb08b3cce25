/** X.509 certificates of services and agents: what they are stands in one URI SAN (D15), signed by `host_tls`. */
import { isIP } from 'node:net';

import { issueTlsCertificate, type ServiceKind } from '@gatehouse/identity';

import type { Deps } from '../deps.js';
import { checkTlsKey } from './keys.js';
import { backdateMs, floorToSecond } from './person-certificates.js';

export interface ServiceCertificateRequest {
  readonly kind: ServiceKind;
  readonly id: string;
  readonly publicKey: Buffer;
  /** Names and addresses under which it is reached. */
  readonly names: readonly string[];
}

export interface IssuedCertificate {
  readonly certificate: Buffer;
  readonly validUntil: Date;
}

type Needs = Pick<Deps, 'authorities' | 'clock' | 'clusterName' | 'config'>;

export async function issueServiceCertificate(
  deps: Needs,
  request: ServiceCertificateRequest,
): Promise<IssuedCertificate> {
  const { authorities, clock, clusterName, config } = deps;
  const validUntilMs = floorToSecond(clock.now() + config.ttl.service_certificate);
  const certificate = await issueTlsCertificate({
    authority: authorities.tlsAuthority('host_tls'),
    publicKeySpki: checkTlsKey(authorities, request.publicKey),
    part: { cluster: clusterName, type: 'service', kind: request.kind, id: request.id },
    commonName: request.id,
    dnsNames: [
      ...internalNames(clusterName, request),
      ...request.names.filter((name) => isIP(name) === 0),
    ],
    ipAddresses: request.names.filter((name) => isIP(name) !== 0),
    notBeforeMs: floorToSecond(clock.now() - backdateMs),
    notAfterMs: validUntilMs,
    usage: 'both',
  });
  return { certificate, validUntil: new Date(validUntilMs) };
}

/** Server names inside the cluster (D18). */
function internalNames(cluster: string, { kind, id }: ServiceCertificateRequest): string[] {
  const base = `${kind}.${cluster}.gatehouse.internal`;
  return kind === 'tunnel' ? [base, `${id}.${base}`] : [base];
}

export async function issueAgentCertificate(
  deps: Needs,
  request: { readonly id: string; readonly publicKey: Buffer },
): Promise<IssuedCertificate> {
  const { authorities, clock, clusterName, config } = deps;
  const validUntilMs = floorToSecond(clock.now() + config.ttl.agent_certificate);
  const certificate = await issueTlsCertificate({
    authority: authorities.tlsAuthority('host_tls'),
    publicKeySpki: checkTlsKey(authorities, request.publicKey),
    part: { cluster: clusterName, type: 'agent', id: request.id },
    commonName: request.id,
    notBeforeMs: floorToSecond(clock.now() - backdateMs),
    notAfterMs: validUntilMs,
    usage: 'client',
  });
  return { certificate, validUntil: new Date(validUntilMs) };
}
