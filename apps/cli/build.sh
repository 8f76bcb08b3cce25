#!/bin/sh
# Builds the command line into apps/cli/dist: one bundle, the loader that turns on Node's compile cache, and the list of
# the files it was made from, by which bin/gate sees that it is out of date. Files appear whole, the loader last, so that
# several builds at once do no harm. Run by `sh tools/bootstrap.sh sh apps/cli/build.sh`.
set -eu
cd "$(dirname "$0")/../.."
dist=apps/cli/dist
generated=packages/proto/src/gatehouse/auth/v1/login_service.ts
if [ ! -f "$generated" ] || [ -n "$(find proto -name '*.proto' -newer "$generated")" ]; then
  node_modules/.bin/buf generate >&2
fi
mkdir -p "$dist"
work=$(mktemp -d "$dist/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
version=$(node -p "require('./apps/cli/package.json').version")
node_modules/.bin/esbuild apps/cli/src/main.ts --bundle --platform=node --target=node24 --format=cjs \
  --conditions=source --minify-whitespace --minify-syntax --legal-comments=none --log-level=warning \
  "--define:GATE_VERSION=\"$version\"" "--metafile=$work/meta.json" "--outfile=$work/gate-bundle.cjs" >&2
node -e '
  const { readFileSync, writeFileSync } = require("node:fs");
  const [work] = process.argv.slice(1);
  const inputs = Object.keys(JSON.parse(readFileSync(work + "/meta.json", "utf8")).inputs);
  const own = inputs.filter((path) => !path.includes("node_modules/"));
  writeFileSync(work + "/gate.inputs", [...own, "apps/cli/build.sh", "apps/cli/package.json", "pnpm-lock.yaml"].join("\n") + "\n");
  writeFileSync(work + "/gate.cjs", `const { enableCompileCache } = require("node:module");
enableCompileCache(require("node:path").join(__dirname, "compile-cache"));
require("./gate-bundle.cjs");
`);
' "$work"
mv -f "$work/gate-bundle.cjs" "$work/gate.inputs" "$dist/"
mv -f "$work/gate.cjs" "$dist/gate.cjs"
