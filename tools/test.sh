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

# The fuzz takes time but no server: it runs beside the checks and the quick tests.
vitest run --project fuzz --reporter=default --reporter=json --outputFile.json="$report/fuzz.json" >"$report/fuzz.log" 2>&1 &
fuzz=$!

printf '\n== check\n'
if pnpm --silent check; then echo 'check passed'; else echo 'check FAILED'; failed=1; fi
for level in unit integration; do
  printf '\n== %s\n' "$level"
  vitest run --project "$level" --reporter=default --reporter=json --outputFile.json="$report/$level.json" || true
done
wait "$fuzz" || true
printf '\n== fuzz\n'
cat "$report/fuzz.log"
printf '\n== e2e\n'
vitest run --project e2e --reporter=default --reporter=json --outputFile.json="$report/e2e.json" || true
tsx tools/summarise-tests.ts "$failed" "$report/unit.json" "$report/integration.json" "$report/fuzz.json" "$report/e2e.json"
