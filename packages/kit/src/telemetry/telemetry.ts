/**
 * Metrics of a process: counters, gauges and histograms in Prometheus' text form, with a bound on label values.
 * Tracing is OpenTelemetry's own (`telemetry-start.ts`), on only where `OTEL_*` variables name an endpoint.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';

import { context, propagation, trace, type Span } from '@opentelemetry/api';

/** Most different label sets of one metric; what comes after counts under `other`. */
const maxSeries = 200;

type Labels = Readonly<Record<string, string>>;

interface Metric {
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly series: Map<string, number>;
  readonly read?: () => number;
}

export interface Counter {
  add(by?: number, labels?: Labels): void;
}

export interface MetricRegistry {
  counter(name: string, help: string): Counter;
  /** A gauge that is read when asked for. */
  gauge(name: string, help: string, read: () => number): void;
  /** `bounds` are upper limits in the metric's unit, ascending. */
  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
  ): (value: number, labels?: Labels) => void;
  /** Prometheus text. */
  render(): string;
}

/** A registry that holds what every process says of itself: how late its event loop is, and its memory. */
export function createMetrics(): MetricRegistry {
  const metrics = new Map<string, Metric>();
  const register = (name: string, metric: Metric): Metric => {
    const known = metrics.get(name) ?? metric;
    metrics.set(name, known);
    return known;
  };
  const counter = (name: string, help: string): Counter => {
    const { series } = register(name, { help, type: 'counter', series: new Map() });
    return { add: (by = 1, labels = {}) => increase(series, renderLabels(labels), by) };
  };
  const registry: MetricRegistry = {
    counter,
    gauge(name, help, read) {
      register(name, { help, type: 'gauge', series: new Map(), read });
    },
    histogram(name, help, bounds) {
      const { series } = register(name, { help, type: 'histogram', series: new Map() });
      return (value, labels = {}) => {
        for (const bound of [...bounds, Infinity]) {
          const le = bound === Infinity ? '+Inf' : String(bound);
          increase(series, `_bucket${renderLabels({ ...labels, le })}`, value <= bound ? 1 : 0);
        }
        increase(series, `_sum${renderLabels(labels)}`, value);
        increase(series, `_count${renderLabels(labels)}`, 1);
      };
    },
    render: () => [...metrics].map(([name, metric]) => renderMetric(name, metric)).join(''),
  };
  const lag = 'how late the event loop was since the last reading, 99th percentile';
  registry.gauge('gatehouse.process.event_loop_lag_seconds', lag, readLoopLag);
  const resident = 'resident memory of the process';
  registry.gauge('gatehouse.process.resident_bytes', resident, () => process.memoryUsage.rss());
  return registry;
}

const lagResolutionMs = 50;
let loopDelay: ReturnType<typeof monitorEventLoopDelay> | undefined;

/** Seconds; 0 at the first reading, which begins the measurement. */
function readLoopLag(): number {
  if (loopDelay === undefined) {
    loopDelay = monitorEventLoopDelay({ resolution: lagResolutionMs });
    loopDelay.enable();
    return 0;
  }
  // What the monitor measures includes the time it meant to wait; without a sample it is not a number.
  const lateMs = loopDelay.percentile(99) / 1e6 - lagResolutionMs;
  loopDelay.reset();
  return Math.max(0, lateMs || 0) / 1000;
}

function increase(series: Map<string, number>, key: string, by: number): void {
  const known = series.has(key) || series.size < maxSeries ? key : '{overflow="other"}';
  series.set(known, (series.get(known) ?? 0) + by);
}

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}=${JSON.stringify(value.slice(0, 64))}`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function renderMetric(name: string, metric: Metric): string {
  const plain = name.replaceAll('.', '_');
  const head = `# HELP ${plain} ${metric.help}\n# TYPE ${plain} ${metric.type}\n`;
  const lines =
    metric.read === undefined
      ? [...metric.series].map(([labels, value]) => `${plain}${labels} ${value}\n`)
      : [`${plain} ${metric.read()}\n`];
  return head + lines.join('');
}

/** The trace id of what is going on, for events and logs; undefined while tracing is off. */
export function currentTraceId(): string | undefined {
  const id = trace.getActiveSpan()?.spanContext().traceId;
  return id === undefined || /^0+$/.test(id) ? undefined : id;
}

/** W3C traceparent of what is going on, to carry across what is not instrumented; empty while tracing is off. */
export function currentTraceparent(): string {
  const context = trace.getActiveSpan()?.spanContext();
  if (context === undefined || /^0+$/.test(context.traceId)) return '';
  return `00-${context.traceId}-${context.spanId}-${context.traceFlags.toString(16).padStart(2, '0')}`;
}

export interface SpanOptions {
  readonly attributes: Labels;
  /** W3C traceparent of what this is a part of, as another process has said it. Default: what is going on here. */
  readonly traceparent?: string | undefined;
}

/** Runs `work` inside a span of low-cardinality `name`; ids are attributes. Costs nothing while tracing is off. */
export async function inSpan<T>(
  name: string,
  { attributes, traceparent = '' }: SpanOptions,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const here = context.active();
  const parent = traceparent === '' ? here : propagation.extract(here, { traceparent });
  const tracer = trace.getTracer('gatehouse');
  return tracer.startActiveSpan(name, { attributes }, parent, async (span) => {
    try {
      return await work(span);
    } finally {
      span.end();
    }
  });
}
