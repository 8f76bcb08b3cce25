/** GatehouseError ↔ gRPC status. The public part travels as JSON in the trailer `gatehouse-error-bin`. */
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { z } from 'zod';

import { GatehouseError, type ErrorKind } from '../errors/errors.js';

export const statusOfKind: Readonly<Record<ErrorKind, status>> = {
  invalid_argument: status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  permission_denied: status.PERMISSION_DENIED,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
  failed_precondition: status.FAILED_PRECONDITION,
  conflict: status.ABORTED,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  unavailable: status.UNAVAILABLE,
  internal: status.INTERNAL,
};

const kindSchema = z.enum([
  'invalid_argument',
  'unauthenticated',
  'permission_denied',
  'not_found',
  'already_exists',
  'failed_precondition',
  'conflict',
  'resource_exhausted',
  'deadline_exceeded',
  'unavailable',
  'internal',
]);

const kindOfStatus = new Map<status, ErrorKind>([
  ...Object.entries(statusOfKind).map(([kind, code]): [status, ErrorKind] => [
    code,
    parseKind(kind),
  ]),
  [status.OUT_OF_RANGE, 'invalid_argument'],
  [status.UNIMPLEMENTED, 'invalid_argument'],
  [status.CANCELLED, 'unavailable'],
]);

function parseKind(text: string): ErrorKind {
  return kindSchema.parse(text);
}

const trailer = 'gatehouse-error-bin';

const trailerSchema = z.object({
  kind: kindSchema,
  code: z.string(),
  message: z.string(),
  remedy: z.string().optional(),
  reason: z.string().optional(),
  id: z.string(),
  details: z.record(z.string(), z.string()).default({}),
});

/** What a caller may know of an error, as a gRPC status. Internal messages and causes stay behind. */
export function toStatus(error: GatehouseError): {
  code: status;
  details: string;
  metadata: Metadata;
} {
  const metadata = new Metadata();
  const { kind, code, publicMessage: message, remedy, reason, id, details } = error;
  metadata.set(
    trailer,
    Buffer.from(JSON.stringify({ kind, code, message, remedy, reason, id, details })),
  );
  return { code: statusOfKind[kind], details: message, metadata };
}

/** The error a service raised, out of the status it sent; a broken connection becomes `unavailable`. */
export function fromServiceError(thrown: ServiceError): GatehouseError {
  const raw = thrown.metadata?.get(trailer)[0];
  if (Buffer.isBuffer(raw)) {
    const parsed = trailerSchema.safeParse(tryParseJson(raw.toString('utf8')));
    if (parsed.success) {
      const { kind, code, message, remedy, reason, id, details } = parsed.data;
      return new GatehouseError(kind, code, message, {
        publicMessage: message,
        id,
        details,
        cause: thrown,
        ...(remedy === undefined ? {} : { remedy }),
        ...(reason === undefined ? {} : { reason }),
      });
    }
  }
  const kind = kindOfStatus.get(thrown.code) ?? 'internal';
  const publicMessage =
    kind === 'unavailable'
      ? 'a service is not available just now; try again shortly'
      : thrown.details;
  return new GatehouseError(kind, `RPC_${status[thrown.code] ?? 'UNKNOWN'}`, thrown.details, {
    cause: thrown,
    publicMessage,
  });
}

function tryParseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
