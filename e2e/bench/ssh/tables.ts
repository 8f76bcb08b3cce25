/** Measurements as tables: medians, and ratios to the rows that one compares with. */
import { median, percentile } from '../measure.js';
import type { Table } from '../report.js';
import type { Route } from './routes.js';

export interface Sample {
  readonly section: 'exec' | 'down' | 'up' | 'terminal-exec' | 'terminal-down';
  readonly row: string;
  readonly ms: number;
  /** CPU seconds by part. */
  readonly cpu?: Readonly<Record<string, number>>;
}

export interface IdleResult {
  readonly title: string;
  readonly kibPerSession: number;
  readonly cpuMsPerLogin: number;
}

const pick = (samples: readonly Sample[], section: Sample['section'], row: string) =>
  samples.filter((sample) => sample.section === section && sample.row === row);

function medianMs(samples: readonly Sample[], section: Sample['section'], row: string): number {
  return median(pick(samples, section, row).map(({ ms }) => ms));
}

const number = (value: number, digits: number) =>
  Number.isFinite(value) ? value.toFixed(digits) : '–';

export function execTable(samples: readonly Sample[], routes: readonly Route[]): Table {
  const of = (row: string) => medianMs(samples, 'exec', row);
  return {
    title: '`ssh host true`, ms from start to exit',
    head: ['way', 'p50', 'p99', '× direct', '× ProxyJump'],
    rows: routes.map(({ name, title }) => [
      title,
      number(of(name), 0),
      number(
        percentile(
          pick(samples, 'exec', name).map(({ ms }) => ms),
          0.99,
        ),
        0,
      ),
      number(of(name) / of('direct'), 2),
      number(of(name) / of('jump'), 2),
    ]),
  };
}

export function bulkTable(
  samples: readonly Sample[],
  routes: readonly Route[],
  mib: number,
): Table {
  const rate = (section: Sample['section'], row: string) =>
    (mib * 1000) / medianMs(samples, section, row);
  const columns = (section: 'down' | 'up', row: string) => [
    number(rate(section, row), 0),
    number(rate(section, row) / rate(section, 'direct'), 2),
    number(rate(section, row) / rate(section, 'jump'), 2),
    cpuPerGib(pick(samples, section, row), mib),
  ];
  const head = (way: string) => [`${way} MiB/s`, '÷ direct', '÷ ProxyJump', 'CPU s/GiB'];
  return {
    title: `${mib} MiB of random bytes on one session`,
    head: ['way', ...head('down'), ...head('up')],
    rows: routes.map(({ name, title }) => [
      title,
      ...columns('down', name),
      ...columns('up', name),
    ]),
  };
}

export function terminalTable(
  samples: readonly Sample[],
  routes: readonly Route[],
  mib: number,
): Table {
  const exec = (row: string) => medianMs(samples, 'terminal-exec', row);
  const bulk = (row: string) => medianMs(samples, 'terminal-down', row);
  return {
    title: `the same with a PTY: \`true\`, and ${mib} MiB of text`,
    head: ['way', 'recorded', '`true` p50 ms', '× direct', 'MiB/s', '÷ direct', 'CPU s/GiB'],
    rows: routes.map(({ name, title, isRecording }) => [
      title,
      isRecording ? 'yes' : 'no',
      number(exec(name), 0),
      number(exec(name) / exec('direct'), 2),
      number((mib * 1000) / bulk(name), 0),
      number(bulk('direct') / bulk(name), 2),
      cpuPerGib(pick(samples, 'terminal-down', name), mib),
    ]),
  };
}

export function idleTable(results: readonly IdleResult[], sessions: number): Table {
  return {
    title: `${sessions} sessions with a command that waits`,
    head: ['way', 'KiB per session', 'CPU ms per login'],
    rows: results.map(({ title, kibPerSession, cpuMsPerLogin }) => [
      title,
      number(kibPerSession, 0),
      number(cpuMsPerLogin, 1),
    ]),
  };
}

/** Of each part, for example `0.9 + 0.6 (cluster + agent)`. */
function cpuPerGib(samples: readonly Sample[], mib: number): string {
  const parts = Object.keys(samples[0]?.cpu ?? {});
  if (parts.length === 0) return '–';
  const each = parts.map((part) =>
    number((median(samples.map(({ cpu }) => cpu?.[part] ?? 0)) * 1024) / mib, 1),
  );
  return parts.length === 1 ? (each[0] ?? '') : `${each.join(' + ')} (${parts.join(' + ')})`;
}
