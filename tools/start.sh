#!/bin/sh
# Generates what is generated (only when stale), then starts the cluster at home. Run through tools/bootstrap.sh.
set -eu
if [ ! -d packages/proto/src/gatehouse ] || [ -n "$(find proto buf.gen.yaml -newer packages/proto/src/gatehouse 2>/dev/null | head -n 1)" ]; then
  printf '        generating code from proto/\n' >&2
  buf generate >&2
  touch packages/proto/src/gatehouse
fi
tracing=
if [ -n "${OTEL_EXPORTER_OTLP_ENDPOINT:-}" ]; then tracing="--import ./packages/kit/src/telemetry/start.ts"; fi
# shellcheck disable=SC2086
exec node --disable-warning=ExperimentalWarning --conditions=source --import tsx $tracing apps/standalone/src/main.ts "$@"
