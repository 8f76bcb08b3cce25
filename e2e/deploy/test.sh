#!/bin/sh
# Images, the compose file and the charts on a real engine and a real API server (pnpm test:deploy). As root: it runs a
# Docker engine of its own. Some 15 minutes the first time, which fetches and builds what it works with.
set -eu
cd "$(dirname "$0")/../.."
if [ "$(id -u)" -ne 0 ]; then
  echo 'test:deploy starts a Docker engine: run it as root' >&2
  exit 2
fi
sh tools/install-servers.sh
sh e2e/deploy/install.sh
pnpm --silent generate >/dev/null
exec node --conditions=source --import tsx e2e/deploy/main.ts
