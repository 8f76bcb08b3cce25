import { withAdministration } from '../cluster/clients.js';
import { listTargets } from '../cluster/targets.js';
import { defineCommand, exitCodes } from '../command.js';
import type { Environment } from '../environment.js';
import { usageError } from '../errors.js';
import { findNearest } from '../nearest.js';
import { parsePairs } from '../options.js';
import { writeJson } from '../output/json.js';
import { formatLabels, formatTable, paint, widthOf } from '../output/text.js';

const kinds: Readonly<Record<string, string>> = {
  nodes: 'node',
  dbs: 'database',
  kube: 'kube_cluster',
  apps: 'app',
  desktops: 'desktop',
};

interface Row {
  readonly kind: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly status: 'online' | 'offline';
  readonly principals: readonly string[];
}

/** `gate ls` */
export const command = defineCommand({
  name: 'ls',
  usage: '[nodes|dbs|kube|apps|desktops] [--search TEXT] [KEY=VALUE…]',
  summary: 'list what you can reach',
  help: {
    examples: ['gate ls', 'gate ls nodes env=staging', 'gate ls --search web --format json'],
  },
  options: { search: { type: 'text', value: 'TEXT', help: 'text in names and labels' } },
  arguments: { min: 0, max: 20 },
  async run(call) {
    const { environment, options } = call;
    const { kind, labels } = readFilters(call.arguments);
    const targets = await withAdministration(call, (client) =>
      listTargets(client, { kind, search: options.search ?? '', labels }),
    );
    const rows = targets.map(toRow);
    if (options.format === 'json') writeJson(environment, rows);
    else environment.stdout.write(formatRows(environment, rows));
    return exitCodes.done;
  },
});

function readFilters(words: readonly string[]): {
  kind: string;
  labels: Readonly<Record<string, string>>;
} {
  const plain = words.filter((word) => !word.includes('='));
  const pairs = words.filter((word) => word.includes('='));
  const [name, ...more] = plain;
  if (more.length > 0) throw usageError(`one kind at a time, not ${plain.join(' and ')}`);
  if (name === undefined) return { kind: '', labels: parsePairs('label', pairs) };
  const kind = Object.hasOwn(kinds, name)
    ? kinds[name]
    : Object.values(kinds).find((known) => known === name);
  if (kind !== undefined) return { kind, labels: parsePairs('label', pairs) };
  const nearest = findNearest(name, Object.keys(kinds));
  throw usageError(
    `"${name}" is neither a kind nor KEY=VALUE${nearest === undefined ? '' : `; did you mean ${nearest}?`}`,
    `gate ls --search ${name}`,
  );
}

function toRow(target: {
  kind: string;
  name: string;
  labels: Readonly<Record<string, string>>;
  online: boolean;
  principals: readonly string[];
}): Row {
  const { kind, name, labels, online, principals } = target;
  return { kind, name, labels, status: online ? 'online' : 'offline', principals };
}

function formatRows(environment: Environment, rows: readonly Row[]): string {
  if (rows.length === 0) {
    environment.stderr.write('nothing here that you can reach\n');
    return '';
  }
  const text = formatTable(
    rows,
    [
      { title: 'NAME', drop: 0, value: (row) => row.name },
      { title: 'KIND', drop: 3, value: (row) => row.kind },
      { title: 'STATUS', drop: 2, value: (row) => row.status },
      { title: 'AS', drop: 1, value: (row) => row.principals.join(',') },
      { title: 'LABELS', drop: 4, value: (row) => formatLabels(row.labels) },
    ],
    widthOf(environment.stdout),
  );
  const [title = '', ...lines] = text.split('\n');
  return [paint(environment, 'dim', title), ...lines].join('\n');
}
