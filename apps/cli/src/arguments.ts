/** Reads a command line against a command's options. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

import { globalOptions, type Command, type OptionSpec, type OptionTable } from './command.js';
import type { OutputFormat } from './environment.js';
import { usageError } from './errors.js';
import { findNearest } from './nearest.js';

/** A command line taken apart; values have the names of their options. */
export interface ParsedArguments {
  readonly values: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  readonly positionals: readonly string[];
}

/** @throws USAGE with the nearest option where one is unknown */
export function parseArguments(argv: readonly string[], command: Command): ParsedArguments {
  const table: OptionTable = { ...globalOptions, ...command.options };
  const { values, positionals } = parseStrictly(argv, table, command.name);
  const { min, max } = command.arguments;
  const help = `gate ${command.name} --help`;
  const wantsHelp = values['help'] === true;
  if (!wantsHelp && positionals.length < min) {
    throw usageError(`gate ${command.name} needs: ${command.usage}`, help);
  }
  if (!wantsHelp && positionals.length > max) {
    throw usageError(`unexpected argument: ${positionals[max]}`, help);
  }
  return { values: withDefaults(values, table), positionals };
}

/** Flags are false and lists empty where they are not given. */
export function withDefaults(
  values: ParsedArguments['values'],
  table: OptionTable,
): ParsedArguments['values'] {
  const result: Record<string, string | boolean | readonly string[] | undefined> = {};
  for (const [name, spec] of Object.entries(table)) result[name] = values[name] ?? defaultOf(spec);
  return result;
}

function defaultOf(spec: OptionSpec): boolean | readonly string[] | undefined {
  if (spec.type === 'boolean') return false;
  return spec.type === 'list' ? [] : undefined;
}

function parseStrictly(argv: readonly string[], table: OptionTable, name: string): ParsedArguments {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: toParseOptions(table),
      allowPositionals: true,
      strict: true,
    });
    return { values: decodeValues(values), positionals };
  } catch (thrown) {
    throw explainParseError(thrown, table, name);
  }
}

function decodeValues(values: Record<string, unknown>): ParsedArguments['values'] {
  const result: Record<string, string | boolean | readonly string[]> = {};
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === 'string' || typeof value === 'boolean') result[name] = value;
    else if (Array.isArray(value)) result[name] = value.map(String);
  }
  return result;
}

function toParseOptions(table: OptionTable): NonNullable<ParseArgsConfig['options']> {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, spec] of Object.entries(table)) {
    options[name] = {
      type: spec.type === 'boolean' ? 'boolean' : 'string',
      multiple: spec.type === 'list',
      ...(spec.short === undefined ? {} : { short: spec.short }),
    };
  }
  return options;
}

function explainParseError(thrown: unknown, table: OptionTable, name: string): Error {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const unknown = /^Unknown option '(-[^']*)'/.exec(message)?.[1];
  if (unknown === undefined)
    return usageError(message.split('. ')[0] ?? message, `gate ${name} --help`);
  const nearest = findNearest(
    unknown,
    Object.keys(table).map((option) => `--${option}`),
  );
  return usageError(
    `unknown option ${unknown}${nearest === undefined ? '' : `; did you mean ${nearest}?`}`,
    `gate ${name} --help`,
  );
}

/** What `--format` asks for, also where the rest of the line is wrong, so that errors come in it. */
export function findFormat(argv: readonly string[]): OutputFormat {
  const words = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : argv.length);
  const isJson = words.some(
    (word, index) =>
      word === '--format=json' || (word === '--format' && words[index + 1] === 'json'),
  );
  return isJson ? 'json' : 'text';
}
