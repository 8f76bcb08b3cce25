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

run_project() {
  vitest run --project "$1" --reporter=default --reporter=json --outputFile.json="$report/$1.json"
  echo $? >"$report/$1.exit"
}

# First of all, because everything that runs side by side below reads what it writes.
pnpm --silent generate >/dev/null
# The fuzz takes time but no server: it runs beside the checks and the quick tests.
run_project fuzz >"$report/fuzz.log" 2>&1 &
fuzz=$!

printf '\n== check\n'
pnpm --silent check
echo $? >"$report/check.exit"
for level in unit integration; do
  printf '\n== %s\n' "$level"
  run_project "$level"
done
wait "$fuzz" || true
printf '\n== fuzz\n'
cat "$report/fuzz.log"
for level in e2e e2e-alone; do
  printf '\n== %s\n' "$level"
  run_project "$level"
done
tsx tools/summarise-tests.ts "$report" unit integration fuzz e2e e2e-alone
