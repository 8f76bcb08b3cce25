/** Configuration: schema defaults < YAML file < environment. The only place that reads the environment. */
import { readFileSync } from 'node:fs';

import { parse } from 'yaml';
import { z } from 'zod';

import { parseDurationMs } from '../clock/clock.js';
import { createErrorFactory } from '../errors/errors.js';

const fail = createErrorFactory({
  CONFIG_INVALID: { kind: 'invalid_argument', message: 'the configuration is not valid' },
});

/** A value that can't be printed by accident: as text and as JSON it is `***`. */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  /** The value itself; call it only where it is used. */
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return '***';
  }
  toJSON(): string {
    return '***';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '***';
  }
}

/** A duration as people write it (`15m`), in ms once parsed. */
export const duration = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const ms = parseDurationMs(text);
      if (ms !== undefined) return ms;
      context.addIssue({
        code: 'custom',
        message: `"${text}" is no duration; write it like 90s, 15m, 8h or 30d`,
      });
      return z.NEVER;
    });

const byteUnits: Readonly<Record<string, number>> = {
  '': 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/** A size as people write it (`256MiB`), in bytes once parsed. */
export const byteSize = (fallback: string) =>
  z
    .string()
    .regex(/^\d+ ?(KiB|MiB|GiB)?$/)
    .default(fallback)
    .transform((text) => Number.parseInt(text, 10) * (byteUnits[text.replace(/[\d ]/g, '')] ?? 1));

/** `host:port`, IPv6 in brackets. */
export const hostPort = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:[\]/]+):\d{1,5}$/, 'write it as host:port');

/** One `host:port`, or a list of them; a list once parsed. */
export const hostPorts = z
  .union([hostPort, z.array(hostPort).min(1).max(100)])
  .transform((value) => (typeof value === 'string' ? [value] : value));

/** The same for gRPC: a name may stand for several addresses, several in a list must be IP addresses. */
export const rpcAddresses = hostPorts.refine(
  (addresses) =>
    addresses.length === 1 ||
    addresses.every((text) => /^\d+\.\d+\.\d+\.\d+:/.test(text)) ||
    addresses.every((text) => text.startsWith('[')),
  'several addresses must be IP addresses, all of one family; one name may stand for several',
);

/** The content of a file that holds a secret, without the last line's end. */
export function readSecretFile(path: string): Secret {
  return new Secret(readFileSync(path, 'utf8').replace(/\r?\n$/, ''));
}

/**
 * Checks a value against a schema.
 * @throws CONFIG_INVALID with every problem and its path, a line each
 */
export function parseConfig<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where = 'configuration',
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw fail('CONFIG_INVALID', {
    publicMessage: `${where} is not valid:\n${z.prettifyError(result.error)}`,
  });
}

/** Reads a YAML file into a plain value. @throws CONFIG_INVALID */
export function readYamlFile(path: string): unknown {
  try {
    return parse(readFileSync(path, 'utf8')) ?? {};
  } catch (thrown) {
    throw fail('CONFIG_INVALID', {
      publicMessage: `can't read ${path}: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
    });
  }
}

/** The process's environment, for those parts that may read it (command lines and services' starts). */
export function readEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}
