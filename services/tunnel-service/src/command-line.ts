/** `tunnel-service --config FILE`: what the command line asks for. */
import { parseArgs } from 'node:util';

import { parseConfig, readYamlFile } from '@gatehouse/kit/config';
import { toGatehouseError } from '@gatehouse/kit/errors';
import type { LogLevel } from '@gatehouse/kit/log';

import { tunnelConfigSchema, type TunnelConfig } from './config.js';

export type Command =
  | { readonly type: 'serve'; readonly config: TunnelConfig }
  /** Everything is said: print the text and end with the code. */
  | { readonly type: 'done'; readonly text: string; readonly exitCode: 0 | 2 };

const usage = `tunnel-service: agents' tunnels of a Gatehouse cluster.

  tunnel-service --config FILE

  --config FILE         YAML
  --check-config        only check it
  --print-config        print it with defaults
  --log-level LEVEL     trace, debug, info, warn, error, silent
`;

const levels: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** Reads arguments and the file that they name; never throws. */
export function readCommand(args: readonly string[]): Command {
  try {
    return readParsed(args);
  } catch (thrown) {
    const why =
      thrown instanceof TypeError ? thrown.message : toGatehouseError(thrown).publicMessage;
    return { type: 'done', text: `tunnel-service: ${why}\n`, exitCode: 2 };
  }
}

function readParsed(args: readonly string[]): Command {
  const { values } = parseArgs({
    args: [...args],
    options: {
      config: { type: 'string' },
      'check-config': { type: 'boolean', default: false },
      'print-config': { type: 'boolean', default: false },
      'log-level': { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return { type: 'done', text: usage, exitCode: 0 };
  const asked = values['log-level'];
  const level = levels.find((one) => one === asked);
  if (values.config === undefined || (asked !== undefined && level === undefined))
    return { type: 'done', text: usage, exitCode: 2 };
  const config = parseConfig(tunnelConfigSchema, readYamlFile(values.config), values.config);
  if (values['print-config'])
    return { type: 'done', text: `${JSON.stringify(config, undefined, 2)}\n`, exitCode: 0 };
  if (values['check-config'])
    return { type: 'done', text: `${values.config} is valid\n`, exitCode: 0 };
  const log = level === undefined ? config.log : { ...config.log, level };
  return { type: 'serve', config: { ...config, log } };
}
