/**
 * Adds up the reports of the test runs: tsx tools/summarise-tests.ts <directory> <project>…
 * The directory holds <project>.json (vitest's report) and <project>.exit (its exit code) of each, and check.exit.
 * Says at the end what failed and why, so that nobody searches a long log for it; the last line is "N passed, N failed".
 * A missing report, a skipped test, an empty run, and an error outside every test count as failures.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

const reportSchema = z.object({
  numPassedTests: z.number(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().optional(),
      assertionResults: z.array(
        z.object({
          status: z.string(),
          fullName: z.string(),
          failureMessages: z.array(z.string()).nullish(),
        }),
      ),
    }),
  ),
});
type Suite = z.output<typeof reportSchema>['testResults'][number];
interface Outcome {
  readonly passed: number;
  readonly failures: readonly string[];
}

/** Of a failure's message: enough to see which expectation did not hold, and where. */
const MAX_MESSAGE_LINES = 12;

const [directory = '', ...projects] = process.argv.slice(2);
const outcomes = [judgeCheck(), ...projects.map(judgeProject)];
const failures = outcomes.flatMap((outcome) => outcome.failures);
const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);

if (failures.length > 0) console.log(`\n== failed\n${failures.join('\n')}`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;

function judgeCheck(): Outcome {
  if (readExit('check') === '0') return { passed: 1, failures: [] };
  return { passed: 0, failures: ['check: its words are above, after "== check"'] };
}

function judgeProject(project: string): Outcome {
  const file = join(directory, `${project}.json`);
  if (!existsSync(file)) return { passed: 0, failures: [`${project}: wrote no report`] };
  const report = reportSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  const failures = report.testResults.flatMap((suite) => listFailures(project, suite));
  if (report.numPassedTests === 0) failures.push(`${project}: no test passed`);
  if (failures.length === 0 && readExit(project) !== '0') {
    failures.push(`${project}: an error outside every test: its words are above`);
  }
  return { passed: report.numPassedTests, failures };
}

function readExit(part: string): string | undefined {
  const file = join(directory, `${part}.exit`);
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

function listFailures(project: string, suite: Suite): string[] {
  const where = `${project}: ${suite.name}`;
  const bad = suite.assertionResults.filter(({ status }) => status !== 'passed');
  if (bad.length === 0 && suite.status === 'failed') {
    return [`${where}: outside its tests: ${cut(suite.message ?? '')}`];
  }
  return bad.map(
    ({ status, fullName, failureMessages }) =>
      `${where}: ${fullName}: ${status}: ${cut((failureMessages ?? []).join('\n'))}`,
  );
}

function cut(message: string): string {
  const lines = message.split('\n').filter((line) => !line.includes('/node_modules/'));
  return lines.slice(0, MAX_MESSAGE_LINES).join('\n    ');
}
