/** What `/readyz` of a service says that has joined (D29): 503 only where another replica would do better. */
import type { Readiness } from '@gatehouse/kit/http';
import type { SpoolState } from '@gatehouse/kit/spool';

import type { Membership } from './join.js';
import type { PolicyView } from './policy-view.js';

export interface ReadinessParts {
  readonly membership: Pick<Membership, 'isExpired'>;
  readonly policy: Pick<PolicyView, 'isReady' | 'isStale' | 'clockSkewMs' | 'hasUnreadableLock'>;
  /** Of services that have one. */
  readonly spool?: Pick<SpoolState, 'full' | 'degraded'> | undefined;
  readonly isDraining?: boolean;
  /** Shared dependencies of this kind of service alone that are down. */
  readonly degraded?: readonly string[];
}

/** A service whose clock is further off is not ready (D34). */
const maxSkewMs = 120_000;

export function readReadiness(parts: ReadinessParts): Readiness {
  const { membership, policy, spool, isDraining = false, degraded = [] } = parts;
  const reasons = listTrue({
    draining: isDraining,
    no_policy: !policy.isReady(),
    spool_full: spool?.full === true,
    clock: Math.abs(policy.clockSkewMs()) > maxSkewMs,
    certificate_expired: membership.isExpired(),
  });
  const shared = listTrue({
    auth: policy.isStale(),
    kafka: spool?.degraded === true,
    locks: policy.hasUnreadableLock(),
  });
  return {
    status: reasons.length === 0 ? 'ready' : 'not_ready',
    reasons,
    degraded: [...shared, ...degraded],
  };
}

function listTrue(words: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(words).flatMap(([word, holds]) => (holds ? [word] : []));
}
