/** Joining a cluster with a one-use token, and a fresh certificate every day after that (D17). */
import { generateKeyPair, verifyTlsCertificate, type VerifiedTls } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import type { Secret } from '@gatehouse/kit/config';
import { AdministrationServiceDefinition } from '@gatehouse/proto/auth/v1/administration_service';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import type { TrustBundle } from '@gatehouse/proto/auth/v1/trust';

import { agentError } from '../errors.js';
import type { Egress } from './egress.js';
import { connectToAuth } from './servers.js';
import type { AgentState } from './state.js';
import { fetchClusterInfo } from './well-known.js';

export interface EnrollOptions {
  readonly proxy: string;
  readonly caPins: readonly string[];
  readonly token: Secret;
  readonly name: string;
  readonly group: string | undefined;
  readonly configFile: string | undefined;
  readonly clock: Clock;
  readonly egress: Egress | undefined;
}

/** @throws AGENT_CLUSTER_UNREACHABLE, AGENT_CA_PIN_MISMATCH, and what auth-service refuses with */
export async function enrollAgent(options: EnrollOptions): Promise<AgentState> {
  const { proxy, caPins, token, name, group = '', configFile, clock, egress } = options;
  const { clusterName, hostTlsCa } = await fetchClusterInfo({ proxy, caPins, egress });
  const keys = generateKeyPair('p256');
  using auth = connectToAuth({ proxy, clusterName, clock, hostTlsCa, egress });
  const client = auth.client(EnrollmentServiceDefinition);
  const request = { token: token.reveal(), name, group, publicKey: keys.spki };
  const { agentId, certificate, trust } = await client.enrollAgent(request);
  if (trust === undefined) throw unusable('no trust came with it');
  checkOwnCertificate(certificate, { agentId, clusterName, trust, clock });
  return {
    agentId,
    name,
    clusterName,
    proxy,
    caPins,
    configFile,
    privateKeyPem: keys.privateKeyPem,
    certificate,
    hostKeyPem: generateKeyPair('ed25519').privateKeyPem,
    trust,
  };
}

/** The same agent with a new key and certificate. */
export async function renewCertificate(
  state: AgentState,
  { clock, egress }: Pick<EnrollOptions, 'clock' | 'egress'>,
): Promise<AgentState> {
  const { clusterName, agentId } = state;
  const keys = generateKeyPair('p256');
  using auth = connectAs(state, { clock, egress });
  const client = auth.client(EnrollmentServiceDefinition);
  const fresh = await client.renewAgent({ publicKey: keys.spki });
  const trust = fresh.trust ?? state.trust;
  checkOwnCertificate(fresh.certificate, { agentId, clusterName, trust, clock });
  return {
    ...state,
    privateKeyPem: keys.privateKeyPem,
    certificate: fresh.certificate,
    trust,
  };
}

/** Whom to trust, by auth-service's own word. */
export async function fetchTrust(
  state: AgentState,
  deps: Pick<EnrollOptions, 'clock' | 'egress'>,
): Promise<TrustBundle> {
  using auth = connectAs(state, deps);
  const { trust } = await auth.client(AdministrationServiceDefinition).getTrust({});
  return trust ?? state.trust;
}

function connectAs(state: AgentState, deps: Pick<EnrollOptions, 'clock' | 'egress'>) {
  const { proxy, clusterName, privateKeyPem, certificate, trust } = state;
  const { hostTlsCa } = trust;
  return connectToAuth({ proxy, clusterName, privateKeyPem, certificate, hostTlsCa, ...deps });
}

/** @throws AGENT_CERTIFICATE_UNUSABLE */
export function checkOwnCertificate(
  certificate: Buffer,
  expected: { agentId: string; clusterName: string; trust: TrustBundle; clock: Pick<Clock, 'now'> },
): VerifiedTls {
  const { agentId, clusterName, trust, clock } = expected;
  let verified: VerifiedTls;
  try {
    verified = verifyTlsCertificate(certificate, {
      authorities: trust.hostTlsCa,
      nowMs: clock.now(),
      toleranceMs: 120_000,
    });
  } catch (cause) {
    throw agentError('AGENT_CERTIFICATE_UNUSABLE', {
      cause,
      details: { why: cause instanceof Error ? cause.message : 'not readable' },
    });
  }
  const { part } = verified;
  if (part?.type !== 'agent' || part.id !== agentId || part.cluster !== clusterName)
    throw unusable('it names somebody else');
  return verified;
}

function unusable(why: string): Error {
  return agentError('AGENT_CERTIFICATE_UNUSABLE', { details: { why } });
}
