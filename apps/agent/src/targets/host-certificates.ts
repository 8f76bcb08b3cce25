/** Host certificates for the built-in node: asked for at auth-service, kept in memory, renewed at half their life. */
import { sshPublicKey } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import type { HostCertificate } from '@gatehouse/protocol-api';

import type { Egress } from '../join/egress.js';
import type { AgentIdentity } from '../join/identity.js';
import { connectToAuth } from '../join/servers.js';

export interface HostCertificates {
  /** @throws what auth-service refuses with, or unavailable while it is away and none is kept */
  get(name: string): Promise<HostCertificate>;
}

interface Kept {
  readonly value: HostCertificate;
  readonly renewAtMs: number;
  readonly endsAtMs: number;
}

export function createHostCertificates(deps: {
  readonly identity: AgentIdentity;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly egress: Egress | undefined;
}): HostCertificates {
  const { identity, clock, logger, egress } = deps;
  const kept = new Map<string, Kept>();
  const pending = new Map<string, Promise<HostCertificate>>();

  const fetchOne = async (name: string): Promise<HostCertificate> => {
    const { proxy, clusterName, privateKeyPem, certificate, trust, hostKeyPem } = identity.state;
    const { hostTlsCa } = trust;
    using auth = connectToAuth({
      proxy,
      clusterName,
      clock,
      privateKeyPem,
      certificate,
      hostTlsCa,
      egress,
    });
    const issued = await auth
      .client(EnrollmentServiceDefinition)
      .issueNodeHostCertificate({ name, publicKey: sshPublicKey(hostKeyPem) });
    const nowMs = clock.now();
    const endsAtMs = issued.validUntil?.getTime() ?? nowMs;
    const value = { privateKeyPem: hostKeyPem, certificate: issued.certificate };
    kept.set(name, { value, endsAtMs, renewAtMs: nowMs + (endsAtMs - nowMs) / 2 });
    return value;
  };

  const fetchOnce = async (name: string): Promise<HostCertificate> => {
    const running = pending.get(name);
    if (running !== undefined) return running;
    const started = fetchOne(name).finally(() => pending.delete(name));
    pending.set(name, started);
    return started;
  };

  return {
    async get(name) {
      const found = kept.get(name);
      const nowMs = clock.now();
      if (found === undefined || nowMs >= found.endsAtMs) return fetchOnce(name);
      if (nowMs >= found.renewAtMs)
        runInBackground(() => fetchOnce(name), logger, 'host certificate was not renewed');
      return found.value;
    },
  };
}
