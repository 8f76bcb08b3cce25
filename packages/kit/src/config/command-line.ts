/** The command line that every service has: `NAME [verb] --config FILE`, with `--check-config` and `--print-config`. */
import { parseArgs } from 'node:util';

import type { z } from 'zod';

import { toGatehouseError } from '../errors/errors.js';
import type { LogLevel } from '../log/log.js';
import { parseConfig, readYamlFile } from './config.js';

export interface ServiceCommandLine<Schema extends z.ZodType> {
  /** `auth-service` */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  readonly schema: Schema;
  /** Verbs besides serving, with what they do. */
  readonly verbs?: Readonly<Record<string, string>>;
  /** Variables that it reads, with what they do; only for the usage text. */
  readonly environment?: Readonly<Record<string, string>>;
}

export type ServiceCommand<Config> =
  | {
      readonly type: 'run';
      /** Undefined: serve. */
      readonly verb: string | undefined;
      readonly config: Config;
      /** From `--log-level`. */
      readonly logLevel: LogLevel | undefined;
    }
  /** Everything is said: print the text (to stdout for code 0, else stderr) and end with the code. */
  | { readonly type: 'done'; readonly text: string; readonly exitCode: 0 | 2 };

const levels: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** Reads arguments and the file that they name; never throws. */
export function readServiceCommand<Schema extends z.ZodType>(
  line: ServiceCommandLine<Schema>,
  args: readonly string[],
): ServiceCommand<z.output<Schema>> {
  try {
    return readArguments(line, args);
  } catch (thrown) {
    const why =
      thrown instanceof TypeError ? thrown.message : toGatehouseError(thrown).publicMessage;
    return { type: 'done', text: `${line.name}: ${why}\n`, exitCode: 2 };
  }
}

/** Prints what is said and sets the exit code; for commands of type `done`. */
export function finishCommand(command: { readonly text: string; readonly exitCode: 0 | 2 }): void {
  process[command.exitCode === 0 ? 'stdout' : 'stderr'].write(command.text);
  process.exitCode = command.exitCode;
}

function readArguments<Schema extends z.ZodType>(
  line: ServiceCommandLine<Schema>,
  args: readonly string[],
): ServiceCommand<z.output<Schema>> {
  const { values, positionals } = parseFlags(args);
  if (values.help) return done(usageOf(line), 0);
  const logLevel = levels.find((level) => level === values['log-level']);
  const isKnownLevel = values['log-level'] === undefined || logLevel !== undefined;
  if (values.config === undefined || !isKnownLevel || !isKnownVerb(line, positionals))
    return done(usageOf(line), 2);
  const config = parseConfig(line.schema, readYamlFile(values.config), values.config);
  if (values['print-config']) return done(`${JSON.stringify(config, undefined, 2)}\n`, 0);
  if (values['check-config']) return done(`${values.config} is valid\n`, 0);
  return { type: 'run', verb: positionals[0], config, logLevel };
}

function parseFlags(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      'check-config': { type: 'boolean', default: false },
      'print-config': { type: 'boolean', default: false },
      'log-level': { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

/** None (serve), or one of the line's. */
function isKnownVerb(
  { verbs = {} }: ServiceCommandLine<z.ZodType>,
  positionals: readonly string[],
): boolean {
  const [verb, ...rest] = positionals;
  return rest.length === 0 && (verb === undefined || Object.hasOwn(verbs, verb));
}

function done(text: string, exitCode: 0 | 2): ServiceCommand<never> {
  return { type: 'done', text, exitCode };
}

function usageOf({ name, summary, verbs, environment }: ServiceCommandLine<z.ZodType>): string {
  const lines = Object.entries(verbs ?? {}).map(
    ([verb, what]) => `  ${name} ${verb} --config FILE    ${what}\n`,
  );
  const variables = Object.entries(environment ?? {}).map(
    ([variable, what]) => `  ${variable}    ${what}\n`,
  );
  return `${name}: ${summary}

  ${name} --config FILE    serve
${lines.join('')}
  --config FILE         YAML
  --check-config        only check it
  --print-config        print it with defaults; secrets as ***
  --log-level LEVEL     ${levels.join(', ')}
${variables.length === 0 ? '' : `\nEnvironment:\n${variables.join('')}`}
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
`;
}
