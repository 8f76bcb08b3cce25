/** What an agent's facets need certificates for: the host key of a built-in node, the logins at databases. */
import { derToPem, generateKeyPair, sshPublicKey } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import type { Logger } from '@gatehouse/kit/log';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import type { ClientCertificate, HostCertificate } from '@gatehouse/protocol-api';

import type { Egress } from '../join/egress.js';
import type { AgentIdentity } from '../join/identity.js';
import { connectToAuth } from '../join/servers.js';
import { keepCertificates } from './kept-certificates.js';

export interface TargetCertificates {
  /** @throws what auth-service refuses with, or unavailable while it is away and none is kept */
  host(name: string): Promise<HostCertificate>;
  /** By which this agent is `user` at one of its databases. The key stays here. @throws as `host` */
  database(name: string, user: string): Promise<ClientCertificate>;
}

export function createTargetCertificates(deps: {
  readonly identity: AgentIdentity;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly egress: Egress | undefined;
}): TargetCertificates {
  const { identity, clock, egress } = deps;
  const hosts = keepCertificates<HostCertificate>(deps);
  const databases = keepCertificates<ClientCertificate>(deps);
  const connect = () => {
    const { proxy, clusterName, privateKeyPem, certificate, trust } = identity.state;
    const { hostTlsCa } = trust;
    return connectToAuth({
      proxy,
      clusterName,
      clock,
      privateKeyPem,
      certificate,
      hostTlsCa,
      egress,
    });
  };
  return {
    host: async (name) =>
      hosts.get(name, async () => {
        const { hostKeyPem } = identity.state;
        using auth = connect();
        const { certificate, validUntil } = await auth
          .client(EnrollmentServiceDefinition)
          .issueNodeHostCertificate({ name, publicKey: sshPublicKey(hostKeyPem) });
        return { value: { privateKeyPem: hostKeyPem, certificate }, validUntil };
      }),
    database: async (name, user) =>
      databases.get(JSON.stringify([name, user]), async () => {
        const { privateKeyPem, spki: publicKey } = generateKeyPair('p256');
        using auth = connect();
        const { certificate, validUntil } = await auth
          .client(EnrollmentServiceDefinition)
          .issueDatabaseCertificate({ name, user, publicKey });
        const certificatePem = derToPem(certificate, 'CERTIFICATE');
        return { value: { privateKeyPem, certificatePem }, validUntil };
      }),
  };
}
