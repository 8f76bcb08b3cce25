import { setTimeout as delay } from 'node:timers/promises';

import { expect, it } from 'vitest';

import { createMetrics } from './telemetry.js';

function readGauge(text: string, name: string): number {
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
}

it('says how late the event loop was since the last reading', async () => {
  const metrics = createMetrics();
  const readLag = () => readGauge(metrics.render(), 'gatehouse_process_event_loop_lag_seconds');
  expect(readLag()).toBe(0);
  await delay(200);
  const until = performance.now() + 700;
  while (performance.now() < until);
  await delay(100);
  const lag = readLag();
  expect(lag).toBeGreaterThan(0.5);
  expect(readGauge(metrics.render(), 'gatehouse_process_resident_bytes')).toBeGreaterThan(1e7);
});

it('counts what comes after the two-hundredth set of labels under one', () => {
  const metrics = createMetrics();
  const counter = metrics.counter('gatehouse.test.things', 'things');
  for (let index = 0; index < 250; index += 1) counter.add(1, { kind: `k${index}` });
  expect(metrics.render()).toContain('gatehouse_test_things{overflow="other"} 50\n');
});

it('renders a histogram with the buckets that Prometheus expects', () => {
  const metrics = createMetrics();
  const observe = metrics.histogram('gatehouse.test.seconds', 'seconds', [0.1, 1]);
  for (const value of [0.05, 0.5, 5]) observe(value);
  const text = metrics.render();
  expect(text).toContain('gatehouse_test_seconds_bucket{le="0.1"} 1\n');
  expect(text).toContain('gatehouse_test_seconds_bucket{le="1"} 2\n');
  expect(text).toContain('gatehouse_test_seconds_bucket{le="+Inf"} 3\n');
  expect(text).toContain('gatehouse_test_seconds_sum 5.55\n');
  expect(text).toContain('gatehouse_test_seconds_count 3\n');
});
