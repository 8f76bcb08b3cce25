/** JSON logs on stdout by pino. A message is a constant lower-case phrase; what varies is a field; an error lies under `err`. */
import { pino, stdSerializers, type DestinationStream, type Logger } from 'pino';

import { GatehouseError } from '../errors/errors.js';

export type { Logger } from 'pino';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Field names whose values never reach a log, at the top and one level down. */
export const redactedFields = [
  'password',
  'secret',
  'token',
  'otp',
  'authorization',
  'cookie',
  'privateKey',
  'joinSecret',
];

/** Longest text of one field; more is cut, so that a log line has a bounded size. */
export const maxFieldChars = 4096;

export interface LoggerOptions {
  readonly name: string;
  readonly level?: LogLevel;
  readonly format?: 'json' | 'text';
  readonly destination?: DestinationStream;
}

export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    name: options.name,
    level: options.level ?? 'info',
    base: {},
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }), log: boundFields },
    redact: { paths: redactedFields.flatMap((name) => [name, `*.${name}`]), censor: '***' },
    serializers: { err: serializeError },
  };
  const destination =
    options.destination ??
    (options.format === 'text'
      ? createTextDestination(process.stdout)
      : pino.destination({ dest: 1, sync: true }));
  return pino(settings, destination);
}

function boundFields(fields: Record<string, unknown>): Record<string, unknown> {
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string' && value.length > maxFieldChars)
      fields[name] = `${value.slice(0, maxFieldChars)}…`;
  }
  return fields;
}

function serializeError(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return { message: String(thrown).slice(0, maxFieldChars) };
  const plain = stdSerializers.err(thrown);
  const bounded = {
    type: plain.type,
    message: plain.message.slice(0, maxFieldChars),
    stack: plain.stack.slice(0, maxFieldChars),
  };
  return thrown instanceof GatehouseError
    ? { ...bounded, code: thrown.code, kind: thrown.kind, id: thrown.id, reason: thrown.reason }
    : bounded;
}

/** One readable line per record, for a terminal. */
function createTextDestination(out: { write(text: string): unknown }): DestinationStream {
  return {
    write(line: string) {
      const record: unknown = JSON.parse(line);
      if (typeof record !== 'object' || record === null) return;
      const { level, time, name, msg, ...fields } = Object.fromEntries<unknown>(
        Object.entries(record),
      );
      const rest = Object.entries(fields)
        .map(
          ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
        )
        .join(' ');
      out.write(
        `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${String(name)}: ${String(msg)}${rest === '' ? '' : `  ${rest}`}\n`,
      );
    },
  };
}
