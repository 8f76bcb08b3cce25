/** An error as a person or a script reads it, and the exit code that goes with it. */
import { GatehouseError, toGatehouseError } from '@gatehouse/kit/errors';

import { exitCodes } from '../command.js';
import type { Environment, OutputFormat } from '../environment.js';
import { cliErrors } from '../errors.js';
import { writeJson } from './json.js';
import { printable } from './text.js';

/** Writes the error and returns the exit code. Never a stack trace. */
export function reportError(
  environment: Pick<Environment, 'stdout' | 'stderr'>,
  thrown: unknown,
  format: OutputFormat,
): number {
  const error = toGatehouseError(thrown);
  const text = describeError(thrown);
  if (format === 'json') writeJson(environment, { error: text });
  else environment.stderr.write(formatError(text));
  return exitCodeOf(error);
}

/** An error as `--format json` shows it. */
export interface ErrorText {
  readonly code: string;
  readonly message: string;
  readonly remedy: string | null;
  /** Null where no service has it in its log. */
  readonly id: string | null;
}

/** What may be said of an error; unknown ones have no code of their own and no id. */
export function describeError(thrown: unknown): ErrorText {
  if (!(thrown instanceof GatehouseError)) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return { code: 'INTERNAL', message, remedy: null, id: null };
  }
  return {
    code: thrown.code,
    message: thrown.publicMessage,
    remedy: thrown.remedy ?? null,
    id: isFromService(thrown) ? thrown.id : null,
  };
}

/** `gate: what: why`, then what to do and the id. */
export function formatError({ message, remedy, id }: Omit<ErrorText, 'code'>): string {
  const lines = message.split('\n').map(printable);
  const [first = '', ...rest] = lines;
  const text = [`gate: ${first}`, ...rest.map((line) => `  ${line}`)];
  if (remedy !== null) text.push(`  ${formatRemedy(printable(remedy))}`);
  if (id !== null) text.push(`  id: ${printable(id)}`);
  return `${text.join('\n')}\n`;
}

/** What the person has already is no step to take. */
function formatRemedy(remedy: string): string {
  return remedy.startsWith('you have') ? remedy : `fix: ${remedy}`;
}

function isFromService(error: GatehouseError): boolean {
  return !Object.hasOwn(cliErrors, error.code) && !error.code.startsWith('RPC_');
}

function exitCodeOf(error: GatehouseError): number {
  if (error.kind === 'permission_denied' || error.code.includes('LOCKED')) return exitCodes.refused;
  if (error.kind === 'invalid_argument') return exitCodes.wrongUsage;
  return exitCodes.failed;
}
