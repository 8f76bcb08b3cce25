// Adds up the JSON reports of the test runs: node tools/summarise-tests.mjs <failed checks> <report>…
// Prints "N passed, N failed" as its last line; a missing report, a skipped test and an empty run count as failures.
import { existsSync, readFileSync } from 'node:fs';

const [checks = '0', ...reports] = process.argv.slice(2);
let passed = Number(checks) === 0 ? 1 : 0;
let failed = Number(checks);
for (const file of reports) {
  if (!existsSync(file)) {
    console.error(`no report ${file}: the run itself failed`);
    failed += 1;
    continue;
  }
  const report = JSON.parse(readFileSync(file, 'utf8'));
  passed += report.numPassedTests;
  failed += report.numFailedTests + report.numPendingTests + report.numTodoTests;
  if (report.numPassedTests === 0) {
    console.error(`${file}: no test passed`);
    failed += 1;
  }
  for (const suite of report.testResults) {
    if (
      suite.status === 'failed' &&
      suite.assertionResults.every(({ status }) => status === 'passed')
    ) {
      console.error(`${suite.name}: the file failed outside its tests: ${suite.message}`);
      failed += 1;
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
