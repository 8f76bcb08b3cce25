/**
 * Tracing, loaded before anything else by `node --import @gatehouse/kit/telemetry-start`. Configured by `OTEL_*` variables
 * alone; without an endpoint it does nothing at all. The hook comes first: without it ESM yields no gRPC spans.
 */
import { register } from 'node:module';

import { GrpcInstrumentation } from '@opentelemetry/instrumentation-grpc';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { NodeSDK } from '@opentelemetry/sdk-node';

import { readEnvironment } from '../config/config.js';

const environment = readEnvironment();

if (
  environment['OTEL_EXPORTER_OTLP_ENDPOINT'] !== undefined &&
  environment['OTEL_SDK_DISABLED'] !== 'true'
) {
  // oxlint-disable-next-line typescript/no-deprecated -- the instrumentation's hook knows no other way in
  register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
  const sdk = new NodeSDK({
    serviceName: environment['OTEL_SERVICE_NAME'] ?? 'gatehouse',
    instrumentations: [
      new GrpcInstrumentation(),
      new PgInstrumentation({ requireParentSpan: true }),
    ],
  });
  sdk.start();
  process.once('beforeExit', () => {
    sdk.shutdown().catch(() => undefined);
  });
}
