/** What a benchmark gives: tables for people, figures for machines. */
import { cpus, release, totalmem } from 'node:os';

export interface BenchOptions {
  /** Names of the rows to measure; undefined: all. */
  readonly rows: readonly string[] | undefined;
  readonly skip: readonly string[];
  /** Names of the sections to run; undefined: all. */
  readonly sections: readonly string[] | undefined;
  /** Round trips per row. */
  readonly rounds: number;
  /** Transfers per row and direction. */
  readonly bulkRounds: number;
  readonly bulkMib: number;
  /** Idle sessions held open at once. */
  readonly idle: number;
  /** Where CPU profiles of our processes go. */
  readonly profileDir: string | undefined;
  progress(text: string): void;
}

export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Report {
  readonly bench: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly machine: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly tables: readonly Table[];
  readonly notes: readonly string[];
  /** Every single measurement. */
  readonly samples: unknown;
}

export interface Bench {
  readonly name: string;
  readonly summary: string;
  run(options: BenchOptions): Promise<Report>;
}

export function describeMachine(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}, ${gib} GiB, Linux ${release()}, Node ${process.version}`;
}

export function renderReport(report: Report): string {
  const lines = [
    `## bench ${report.bench}`,
    '',
    `${report.startedAt} to ${report.endedAt} · ${report.machine}`,
    '',
  ];
  for (const table of report.tables)
    lines.push(`### ${table.title}`, '', ...renderTable(table), '');
  for (const note of report.notes) lines.push(`- ${note}`);
  return lines.join('\n');
}

function renderTable(table: Table): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(table.head), line(table.head.map(() => '---')), ...table.rows.map(line)];
}
