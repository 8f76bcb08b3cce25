/**
 * Adds up the JSON reports of the test runs: tsx tools/summarise-tests.ts <failed checks> <report>…
 * Prints "N passed, N failed" as its last line; a missing report, a skipped test and an empty run count as failures.
 */
import { existsSync, readFileSync } from 'node:fs';

import { z } from 'zod';

const reportSchema = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().optional(),
      assertionResults: z.array(z.object({ status: z.string() })),
    }),
  ),
});
type Report = z.output<typeof reportSchema>;
type Suite = Report['testResults'][number];

const [checks = '0', ...files] = process.argv.slice(2);
let passed = Number(checks) === 0 ? 1 : 0;
let failed = Number(checks);

for (const file of files) {
  const report = readReport(file);
  passed += report?.numPassedTests ?? 0;
  failed += report === undefined ? 1 : countFailures(file, report);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function readReport(file: string): Report | undefined {
  if (existsSync(file)) return reportSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  console.error(`no report ${file}: the run itself failed`);
  return undefined;
}

function countFailures(file: string, report: Report): number {
  let count = report.numFailedTests + report.numPendingTests + report.numTodoTests;
  if (report.numPassedTests === 0) {
    console.error(`${file}: no test passed`);
    count += 1;
  }
  for (const suite of report.testResults.filter(failedOutsideItsTests)) {
    console.error(`${suite.name}: the file failed outside its tests: ${suite.message ?? ''}`);
    count += 1;
  }
  return count;
}

function failedOutsideItsTests({ status, assertionResults }: Suite): boolean {
  return status === 'failed' && assertionResults.every((result) => result.status === 'passed');
}
