/** Runs the dependency rules, and fails when the analyser saw fewer modules than there are sources: then it saw nothing. */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';

interface Report {
  modules: { source: string }[];
  summary: { violations: { from: string; to: string; rule: { name: string } }[] };
}

const sources = globSync('{packages,packages/protocols,services,apps}/*/src/**/*.ts').filter(
  (file) => !file.startsWith('packages/proto/'),
);
const run = spawnSync(
  'depcruise',
  [
    '--config',
    '.dependency-cruiser.cjs',
    '--output-type',
    'json',
    'packages',
    'services',
    'apps',
    'e2e',
  ],
  {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  },
);
if (run.stdout === '') {
  console.error(run.stderr);
  process.exit(1);
}
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the analyser's documented output
const report = JSON.parse(run.stdout) as Report;
const seen = new Set(report.modules.map(({ source }) => source));
const unseen = sources.filter((file) => !seen.has(file));
for (const { from, to, rule } of report.summary.violations)
  console.error(`${rule.name}: ${from} → ${to}`);
if (unseen.length > 0)
  console.error(`${unseen.length} sources were not analysed, first ${unseen[0] ?? ''}`);
if (report.summary.violations.length > 0 || unseen.length > 0) process.exitCode = 1;
else console.log(`dependency rules hold over ${seen.size} modules`);
