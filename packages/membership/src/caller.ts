/** Who is at the other end of a connection inside the cluster: read from its certificate (D15), nothing else. */
import { createHash } from 'node:crypto';

import { verifyPartCertificate, type Identity, type ServiceKind } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';

import { membershipError } from './errors.js';

/** The caller of an rpc. */
export type Caller =
  | { readonly type: 'anonymous' }
  | {
      readonly type: 'service';
      readonly kind: ServiceKind;
      readonly id: string;
      readonly fingerprint: string;
    }
  | { readonly type: 'agent'; readonly id: string; readonly fingerprint: string }
  | {
      readonly type: 'user';
      readonly name: string;
      readonly identity: Identity;
      readonly fingerprint: string;
      readonly notAfterMs: number;
    };

/** CA certificates, DER. */
export interface TrustedAuthorities {
  readonly userTlsCa: readonly Buffer[];
  readonly hostTlsCa: readonly Buffer[];
}

interface Known {
  readonly caller: Caller;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly trust: TrustedAuthorities;
}

const maxKnown = 5_000;
const toleranceMs = 120_000;

/**
 * Makes the `identify` of an rpc server. Signatures are checked once per certificate and set of authorities, times at
 * every call. The function throws for a certificate that is expired, of another cluster or of a stranger.
 */
export function createIdentifier(options: {
  readonly clusterName: string;
  readonly clock: Clock;
  trust(): TrustedAuthorities;
}): (certificate: Buffer | undefined) => Caller {
  const known = new Map<string, Known>();
  return (certificate) => {
    if (certificate === undefined) return { type: 'anonymous' };
    const fingerprint = createHash('sha256').update(certificate).digest('hex');
    const nowMs = options.clock.now();
    const trust = options.trust();
    let entry = known.get(fingerprint);
    if (
      entry === undefined ||
      entry.trust !== trust ||
      nowMs >= entry.notAfterMs ||
      nowMs < entry.notBeforeMs - toleranceMs
    ) {
      entry = readCertificate(certificate, {
        fingerprint,
        nowMs,
        trust,
        clusterName: options.clusterName,
      });
      if (known.size >= maxKnown) known.clear();
      known.set(fingerprint, entry);
    }
    return entry.caller;
  };
}

function readCertificate(
  certificate: Buffer,
  check: { fingerprint: string; nowMs: number; trust: TrustedAuthorities; clusterName: string },
): Known {
  const { fingerprint, nowMs, trust } = check;
  const verified = verifyPartCertificate(certificate, {
    userAuthorities: trust.userTlsCa,
    hostAuthorities: trust.hostTlsCa,
    nowMs,
  });
  const { part, notBeforeMs, notAfterMs } = verified;
  if (part.cluster !== check.clusterName)
    throw membershipError('CALLER_UNKNOWN', { details: { why: 'it is of another cluster' } });
  const times = { notBeforeMs, notAfterMs, trust };
  if (part.type === 'service')
    return { ...times, caller: { type: 'service', kind: part.kind, id: part.id, fingerprint } };
  if (part.type === 'agent')
    return { ...times, caller: { type: 'agent', id: part.id, fingerprint } };
  if (verified.identity === undefined)
    throw membershipError('CALLER_UNKNOWN', { details: { why: 'it names nobody' } });
  return {
    ...times,
    caller: { type: 'user', name: part.name, identity: verified.identity, fingerprint, notAfterMs },
  };
}
