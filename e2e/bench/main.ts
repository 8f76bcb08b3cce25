/** `pnpm bench [name] [flags]`: runs a benchmark, prints its tables as Markdown and, with --json FILE, writes the figures. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { auditBench } from './audit.js';
import { postgresBench } from './postgres.js';
import { renderReport, type Bench } from './report.js';
import { sshBench } from './ssh.js';

const benches: readonly Bench[] = [sshBench, auditBench, postgresBench];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    rows: { type: 'string' },
    skip: { type: 'string' },
    sections: { type: 'string' },
    rounds: { type: 'string' },
    'bulk-rounds': { type: 'string' },
    'bulk-mib': { type: 'string' },
    idle: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean' },
  },
});

const [name] = positionals;
const chosen = benches.filter((bench) => name === undefined || bench.name === name);

if (values.help === true || chosen.length === 0) {
  const list = benches.map((bench) => `  ${bench.name.padEnd(8)} ${bench.summary}`).join('\n');
  console.error(
    [
      'usage: pnpm bench [name] [--rows a,b] [--skip c] [--sections a,b] [--rounds N] [--bulk-rounds N]',
      '                  [--bulk-mib N] [--idle N] [--profile DIR] [--json FILE]',
      '',
      list,
    ].join('\n'),
  );
  process.exit(values.help === true ? 0 : 2);
}

const reports = [];
for (const bench of chosen) {
  const report = await bench.run({
    rows: split(values.rows),
    skip: split(values.skip) ?? [],
    sections: split(values.sections),
    rounds: Number(values.rounds ?? 20),
    bulkRounds: Number(values['bulk-rounds'] ?? 5),
    bulkMib: Number(values['bulk-mib'] ?? 256),
    idle: Number(values.idle ?? 100),
    profileDir: values.profile,
    progress: (text) => process.stderr.write(`${text}\n`),
  });
  console.log(renderReport(report));
  reports.push(report);
}
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify(reports, undefined, 2)}\n`);
process.exit(0);

function split(list: string | undefined): readonly string[] | undefined {
  return list?.split(',').filter((word) => word !== '');
}
