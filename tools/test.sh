#!/bin/sh
# Everything that must hold: installs the servers that tests need, then checks and tests, going on after a failure.
# The last line is "N passed, N failed". Run through tools/bootstrap.sh (npm test).
set -u
cd "$(dirname "$0")/.."
sh tools/install-servers.sh || {
  echo '0 passed, 1 failed'
  exit 1
}
report=$(mktemp -d)
trap 'rm -rf "$report"' EXIT
failed=0

printf '\n== check\n'
if pnpm --silent check; then echo 'check passed'; else echo 'check FAILED'; failed=1; fi
for level in unit integration e2e; do
  printf '\n== %s\n' "$level"
  vitest run --project "$level" --reporter=default --reporter=json --outputFile.json="$report/$level.json" || true
done
node tools/summarise-tests.mjs "$failed" "$report"/unit.json "$report"/integration.json "$report"/e2e.json
