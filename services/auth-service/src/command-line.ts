/** `auth-service [invite-admin] --config FILE`: what the command line asks for. */
import { parseArgs } from 'node:util';

import { parseConfig, readEnvironment, readYamlFile, Secret } from '@gatehouse/kit/config';
import { toGatehouseError } from '@gatehouse/kit/errors';
import type { LogLevel } from '@gatehouse/kit/log';

import { authConfigSchema, type AuthConfig } from './config.js';

export type Command =
  | {
      readonly type: 'serve' | 'invite-admin';
      readonly config: AuthConfig;
      readonly overrides: { readonly databaseUrl?: Secret };
      readonly logLevel: LogLevel;
    }
  /** Everything is said: print the text and end with the code. */
  | { readonly type: 'done'; readonly text: string; readonly exitCode: 0 | 2 };

const usage = `auth-service: people, roles, certificates and the inventory of a Gatehouse cluster.

  auth-service --config FILE                 serve
  auth-service invite-admin --config FILE    print a link for the first administrator

  --config FILE         YAML; AUTH_DATABASE_URL in the environment takes the place of database.url
  --check-config        only check it
  --print-config        print it with defaults; secrets as ***
  --log-level LEVEL     trace, debug, info, warn, error (default info)
`;

const levels: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** Reads arguments and the file that they name; never throws. */
export function readCommand(args: readonly string[]): Command {
  try {
    return readParsed(args);
  } catch (thrown) {
    const why =
      thrown instanceof TypeError ? thrown.message : toGatehouseError(thrown).publicMessage;
    return { type: 'done', text: `auth-service: ${why}\n`, exitCode: 2 };
  }
}

function readParsed(args: readonly string[]): Command {
  const { values, positionals } = parseFlags(args);
  if (values.help) return done(usage, 0);
  const [verb, ...rest] = positionals;
  const logLevel = levels.find((level) => level === values['log-level']);
  const isUnderstood = rest.length === 0 && (verb === undefined || verb === 'invite-admin');
  if (!isUnderstood || values.config === undefined || logLevel === undefined) {
    return done(usage, 2);
  }
  const config = parseConfig(authConfigSchema, readYamlFile(values.config), values.config);
  if (values['print-config']) return done(`${JSON.stringify(config, undefined, 2)}\n`, 0);
  if (values['check-config']) return done(`${values.config} is valid\n`, 0);
  const type = verb === undefined ? 'serve' : 'invite-admin';
  return { type, config, overrides: readOverrides(), logLevel };
}

function parseFlags(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      'check-config': { type: 'boolean', default: false },
      'print-config': { type: 'boolean', default: false },
      'log-level': { type: 'string', default: 'info' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

function done(text: string, exitCode: 0 | 2): Command {
  return { type: 'done', text, exitCode };
}

function readOverrides(): { databaseUrl?: Secret } {
  const url = readEnvironment()['AUTH_DATABASE_URL'];
  return url === undefined ? {} : { databaseUrl: new Secret(url) };
}
