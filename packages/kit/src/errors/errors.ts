/**
 * The one error class of Gatehouse. An error is a stable code in one table; the message of the table (or
 * `publicMessage`) is what a caller may see, `message` and `cause` go to the log only.
 */
import { createId } from '../ids/ids.js';

/** What went wrong, in the closed list that maps to gRPC, HTTP and every protocol's own codes. */
export type ErrorKind =
  | 'invalid_argument'
  | 'unauthenticated'
  | 'permission_denied'
  | 'not_found'
  | 'already_exists'
  | 'failed_precondition'
  | 'conflict'
  | 'resource_exhausted'
  | 'deadline_exceeded'
  | 'unavailable'
  | 'internal';

/** A row of a folder's `errors.ts` table. `{name}` in a text is filled from the error's details. */
export interface ErrorRow {
  readonly kind: ErrorKind;
  readonly message: string;
  /** What a person can do about it: a command or a step. */
  readonly remedy?: string;
}

export type ErrorTable = Readonly<Record<string, ErrorRow>>;

export interface ErrorOptions {
  readonly cause?: unknown;
  /** What the caller may read; without it callers see a general text for the kind. */
  readonly publicMessage?: string;
  readonly remedy?: string;
  /** The reason word of the audit event, for example `expired` or `no_role`. */
  readonly reason?: string;
  readonly details?: Readonly<Record<string, string>>;
  /** An id given by another service; by default a new one is made. */
  readonly id?: string;
}

export class GatehouseError extends Error {
  override readonly name = 'GatehouseError';
  readonly kind: ErrorKind;
  readonly code: string;
  readonly publicMessage: string;
  readonly remedy: string | undefined;
  readonly reason: string | undefined;
  readonly details: Readonly<Record<string, string>>;
  /** `err_…`: shown to the person and written to the log, so that one finds the other. */
  readonly id: string;

  // oxlint-disable-next-line max-params -- kind, code and message are what every error states; the rest is optional
  constructor(kind: ErrorKind, code: string, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.code = code;
    this.publicMessage = options.publicMessage ?? generalMessages[kind];
    this.remedy = options.remedy;
    this.reason = options.reason;
    this.details = options.details ?? {};
    this.id = options.id ?? createId('err');
  }
}

const generalMessages: Readonly<Record<ErrorKind, string>> = {
  invalid_argument: 'the request is not valid',
  unauthenticated: 'not logged in',
  permission_denied: 'not allowed',
  not_found: 'not found',
  already_exists: 'already exists',
  failed_precondition: 'not possible in this state',
  conflict: 'changed by somebody else in the meantime',
  resource_exhausted: 'too many requests',
  deadline_exceeded: 'timed out',
  unavailable: 'not available just now',
  internal: 'internal error',
};

/**
 * Makes a function that builds errors from one table, so that a code outside the table does not compile.
 *
 * @example
 * const fail = createErrorFactory({ TOKEN_USED: { kind: 'permission_denied', message: 'join token is not valid' } });
 * throw fail('TOKEN_USED', { reason: 'used' });
 */
export function createErrorFactory<Table extends ErrorTable>(
  table: Table,
): (code: keyof Table & string, options?: ErrorOptions & { message?: string }) => GatehouseError {
  return (code, options = {}) => {
    const row: ErrorRow = table[code] ?? { kind: 'internal', message: code };
    const publicMessage = options.publicMessage ?? fillTemplate(row.message, options.details);
    const remedy = options.remedy ?? row.remedy;
    return new GatehouseError(row.kind, code, options.message ?? publicMessage, {
      ...options,
      publicMessage,
      ...(remedy === undefined ? {} : { remedy: fillTemplate(remedy, options.details) }),
    });
  };
}

function fillTemplate(template: string, details: Readonly<Record<string, string>> = {}): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => details[name] ?? whole);
}

/** Any thrown value as a GatehouseError; what is not one becomes `internal` with the value as its cause. */
export function toGatehouseError(thrown: unknown): GatehouseError {
  if (thrown instanceof GatehouseError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new GatehouseError('internal', 'INTERNAL', message, { cause: thrown });
}

/** The `code` of a Node system error (`ECONNREFUSED`, …), or undefined. */
export function systemErrorCode(thrown: unknown): string | undefined {
  if (thrown instanceof GatehouseError) return undefined;
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
