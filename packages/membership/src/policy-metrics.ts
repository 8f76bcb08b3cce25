import type { MetricRegistry } from '@gatehouse/kit/telemetry';

import type { PolicyView } from './policy-view.js';

/** How a service's view of the policy fares: gauges that all services with one have. */
export function measurePolicy(
  metrics: Pick<MetricRegistry, 'gauge'>,
  policy: Pick<PolicyView, 'isStale' | 'progress'>,
): void {
  metrics.gauge('gatehouse.policy.stale', '1 while auth-service is silent', () =>
    policy.isStale() ? 1 : 0,
  );
  metrics.gauge(
    'gatehouse.policy.position',
    'last change that has arrived; auth-service has gatehouse.watch.position',
    () => policy.progress().lastId,
  );
  metrics.gauge(
    'gatehouse.policy.snapshots',
    'how often all documents were read; more than once: changes were missed',
    () => policy.progress().snapshots,
  );
}
