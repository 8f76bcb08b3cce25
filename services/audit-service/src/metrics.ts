/** What audit-service counts. */
import { createMetrics, type Counter, type MetricRegistry } from '@gatehouse/kit/telemetry';

export interface AuditMetrics {
  readonly stored: Counter;
  readonly repeated: Counter;
  readonly deadLetters: Counter;
  readonly chunks: Counter;
  readonly gauge: MetricRegistry['gauge'];
  render(): string;
}

export function createAuditMetrics(): AuditMetrics {
  const metrics = createMetrics();
  return {
    stored: metrics.counter('gatehouse.audit.events.stored', 'events stored'),
    repeated: metrics.counter('gatehouse.audit.events.repeated', 'events received again'),
    deadLetters: metrics.counter(
      'gatehouse.audit.dead_letters',
      'records that could not be decoded or stored',
    ),
    chunks: metrics.counter('gatehouse.audit.chunks.stored', 'chunks of recordings stored'),
    gauge: (name, help, read) => metrics.gauge(name, help, read),
    render: () => metrics.render(),
  };
}
