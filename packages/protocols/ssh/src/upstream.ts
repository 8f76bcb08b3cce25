/** The leg to the target: dial, check the host key, log in as the session's login. */
import { parseSshPublicKey, type SshUserProof } from '@gatehouse/identity';
import { toGatehouseError } from '@gatehouse/kit/errors';
import type { ProxyServices, Session } from '@gatehouse/protocol-api';

import { sshError } from './errors.js';
import { splitKeys, type SshSpec } from './target.js';
import { loginToTarget, type TargetConnection } from './transport/client-login.js';

/** From dial to a finished login, ms (SSH-07). */
const connectTimeoutMs = 10_000;

/**
 * Connects to the session's target and logs in with a certificate issued on the person's own proof (D21).
 * @throws what `dial` and `targetCertificate` throw, SSH_HOST_KEY, SSH_ALGORITHMS, SSH_TARGET_REFUSED_LOGIN,
 *   SSH_TARGET_LOST
 */
export async function connectUpstream(
  services: ProxyServices,
  session: Session<SshSpec>,
  proof: SshUserProof,
): Promise<TargetConnection> {
  const signal = AbortSignal.any([session.signal, AbortSignal.timeout(connectTimeoutMs)]);
  const aborted = rejectOnAbort(signal, session.target.name);
  const certificate = await Promise.race([
    services.credentials.targetCertificate(proof, session.principal, session.clientAddress),
    aborted,
  ]);
  const dialled = session.dial();
  // A stream that comes too late is closed, whoever still waits for it.
  dialled.then((stream) => signal.aborted && stream.destroy()).catch(() => undefined);
  const socket = await Promise.race([dialled, aborted]);
  const { spec } = session.target;
  return loginToTarget({
    socket,
    login: session.principal,
    certificate,
    signal,
    host: {
      name: session.target.name,
      authorities: hostAuthorities(services, spec),
      pin: spec.host_key === undefined ? undefined : parseSshPublicKey(spec.host_key),
      legacyAlgorithms: spec.allow_legacy_algorithms === true,
      nowMs: services.clock.now(),
    },
  });
}

function hostAuthorities(services: ProxyServices, spec: SshSpec): readonly Buffer[] {
  if (spec.host_ca === undefined) return services.credentials.hostAuthorities();
  return splitKeys(spec.host_ca).map(parseSshPublicKey);
}

function rejectOnAbort(signal: AbortSignal, target: string): Promise<never> {
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(timedOut(target, signal.reason)), { once: true });
  });
  aborted.catch(() => undefined);
  return aborted;
}

function timedOut(target: string, cause: unknown): Error {
  return sshError('SSH_TARGET_LOST', {
    details: { target, why: 'timed out' },
    reason: 'timed_out',
    cause: toGatehouseError(cause),
  });
}
