/** Text for people: tables without borders, relative times, colour only on a terminal. */
import { stripVTControlCharacters } from 'node:util';

import type { Environment, TextOutput } from '../environment.js';

const fallbackColumns = 80;
const gap = 2;

/** A column of a table. */
export interface Column<Row> {
  readonly title: string;
  /** Dropped first where the width does not do: the highest number. 0: never. */
  readonly drop: number;
  value(row: Row): string;
}

/** A table that fits `width`: whole columns are dropped, the last one that is left is cut. */
export function formatTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width: number,
): string {
  let shown = columns.map((column) => toCells(rows, column));
  while (totalWidth(shown) > width && shown.some((cells) => cells.drop > 0)) {
    const worst = Math.max(...shown.map((cells) => cells.drop));
    shown = shown.filter((cells) => cells.drop !== worst);
  }
  const lines = [shown.map(({ title, width: cell }) => pad(title, cell))];
  for (const index of rows.keys()) {
    lines.push(shown.map(({ texts, width: cell }) => pad(texts[index] ?? '', cell)));
  }
  return lines.map((cells) => `${cut(cells.join(' '.repeat(gap)).trimEnd(), width)}\n`).join('');
}

interface Cells {
  readonly title: string;
  readonly drop: number;
  readonly texts: readonly string[];
  readonly width: number;
}

function toCells<Row>(rows: readonly Row[], column: Column<Row>): Cells {
  const texts = rows.map((row) => printable(column.value(row)));
  const width = Math.max(column.title.length, ...texts.map((text) => text.length));
  return { title: column.title, drop: column.drop, texts, width };
}

function totalWidth(cells: readonly Cells[]): number {
  return cells.reduce((sum, { width }) => sum + width, 0) + gap * (cells.length - 1);
}

function pad(text: string, width: number): string {
  return text.padEnd(width);
}

function cut(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text;
}

/**
 * Names and labels come from others: no control character of theirs reaches a terminal, and none that looks like nothing
 * makes two of them look the same.
 */
export function printable(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '�')
    .replace(/[\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu, escapeCharacter);
}

/** Control characters but for line ends and tabs, and those that change the order in which text is shown. */
const controls = /(?![\n\t])[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u;
const allControls = new RegExp(controls, 'gu');

/** Does a text hold what a terminal obeys or what hides how the text reads? */
export function hasControls(text: string): boolean {
  return controls.test(text);
}

/** JSON, or YAML whose texts with controls are in double quotes, with the same meaning and without any of them. */
export function escapeControls(encoded: string): string {
  return encoded.replace(
    allControls,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function escapeCharacter(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`;
}

/** Columns of the terminal, else 80. Output that is not for a terminal is not cut. */
export function widthOf(output: TextOutput): number {
  if (output.isTTY !== true) return Number.MAX_SAFE_INTEGER;
  // A terminal without a size, as programs make them, says 0.
  return output.columns === undefined || output.columns === 0 ? fallbackColumns : output.columns;
}

/** `env=staging,team=blue` */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(',');
}

const units: readonly (readonly [ms: number, name: string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1000, 's'],
];

/** `2h 5m`, the two largest units. */
export function formatDuration(ms: number): string {
  const parts: string[] = [];
  let rest = Math.max(0, ms);
  for (const [size, name] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count}${name}`);
    if (parts.length === 2) break;
  }
  return parts.length === 0 ? '0s' : parts.join(' ');
}

/** `3m ago`, `in 2h`. */
export function formatRelative(atMs: number, nowMs: number): string {
  const distance = Math.abs(nowMs - atMs);
  const unit = units.find(([size]) => distance >= size);
  if (unit === undefined) return 'now';
  const text = `${Math.round(distance / unit[0])}${unit[1]}`;
  return atMs <= nowMs ? `${text} ago` : `in ${text}`;
}

/** RFC 3339 in whole seconds, as messages say times. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

const styles = { red: '31', green: '32', dim: '2', bold: '1' } as const;

/** Colour where the output is a terminal and `NO_COLOR` is not set. Never the only carrier of meaning. */
export function paint(
  environment: Pick<Environment, 'variables' | 'stdout'>,
  style: keyof typeof styles,
  text: string,
): string {
  const noColor = environment.variables['NO_COLOR'];
  if (environment.stdout.isTTY !== true || (noColor !== undefined && noColor !== '')) return text;
  return `\u001b[${styles[style]}m${text}\u001b[0m`;
}
