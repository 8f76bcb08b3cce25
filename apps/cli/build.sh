#!/bin/sh
# Builds the command line into apps/cli/dist: a bundle of everything, a small one of the commands that need no service
# (ssh starts one of them each time), the loader that chooses and turns on Node's compile cache, and the list of files
# they were made from, by which bin/gate sees that they are out of date. Files appear whole, the loader last, so that
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
node_modules/.bin/esbuild apps/cli/src/main.ts apps/cli/src/main-local.ts --bundle --platform=node --target=node24 \
  --format=cjs --out-extension:.js=.cjs --conditions=source --minify-whitespace --minify-syntax --legal-comments=none \
  --log-level=warning "--define:GATE_VERSION=\"$version\"" "--metafile=$work/meta.json" "--outdir=$work" >&2
node - "$work" <<'LOADER'
const { readFileSync, writeFileSync } = require('node:fs');
const [work] = process.argv.slice(2);
const inputs = Object.keys(JSON.parse(readFileSync(`${work}/meta.json`, 'utf8')).inputs);
const own = inputs.filter((path) => !path.includes('node_modules/'));
own.push('apps/cli/build.sh', 'apps/cli/package.json', 'pnpm-lock.yaml');
writeFileSync(`${work}/gate.inputs`, `${own.join('\n')}\n`);
writeFileSync(
  `${work}/gate.cjs`,
  `const [, , first, second] = process.argv;
const isLocal = ['ssh', 'status', 'config', 'version', '--version'].includes(first) || (first === 'proxy' && second === 'ssh');
require('node:module').enableCompileCache(require('node:path').join(__dirname, 'compile-cache'));
require(isLocal ? './main-local.cjs' : './main.cjs');
`,
);
LOADER
mv -f "$work/main.cjs" "$work/main-local.cjs" "$work/gate.inputs" "$dist/"
mv -f "$work/gate.cjs" "$dist/gate.cjs"
