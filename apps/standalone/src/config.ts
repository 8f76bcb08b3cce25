/** What a start at home may be told: flags, and a YAML file over the same names. */
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { parseArgs, type ParseArgsConfig } from 'node:util';

import { parseConfig, readEnvironment, readYamlFile } from '@gatehouse/kit/config';
import { z } from 'zod';

import { standaloneError } from './errors.js';

export const standaloneConfigSchema = z.strictObject({
  cluster_name: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
    .default('home'),
  /** Everything that lasts; locked while in use. */
  data_dir: z.string().optional(),
  /** The one TLS port; 0: any free one. */
  port: z.coerce.number().int().min(0).max(65_535).default(8443),
  /** Interface. */
  listen: z.string().default('127.0.0.1'),
  /** What people and agents dial. Default: `listen` where `localhost` does not lead there, else `localhost:<port>`. */
  public_addr: z
    .string()
    .regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:]+):\d{1,5}$/, 'write it as HOST:PORT')
    .optional(),
  /** Start the agent for this host. */
  agent: z.boolean().default(true),
  /** Labels of this host's node. */
  labels: z.record(z.string(), z.string()).default({ env: 'home' }),
  log_format: z.enum(['text', 'json']).optional(),
  log_level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('warn'),
  kek_file: z.string().optional(),
});

export interface StandaloneConfig extends Omit<
  z.output<typeof standaloneConfigSchema>,
  'data_dir' | 'log_format'
> {
  readonly data_dir: string;
  readonly log_format: 'text' | 'json';
  /** Name of this host's node. */
  readonly node_name: string;
  /** The OS user who starts it: the first administrator's login. */
  readonly login: string;
}

const options = {
  'data-dir': { type: 'string' },
  port: { type: 'string' },
  listen: { type: 'string' },
  'public-addr': { type: 'string' },
  config: { type: 'string' },
  'no-agent': { type: 'boolean' },
  label: { type: 'string', multiple: true },
  'log-format': { type: 'string' },
  'log-level': { type: 'string' },
  'kek-file': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const satisfies ParseArgsConfig['options'];

export const usage = `Gatehouse at home: the whole cluster in one process.

  npm start -- [flags]

  --data-dir DIR            everything that lasts (default: .gatehouse in the clone)
  --port N                  the one TLS port, 0 = any free one (default 8443)
  --listen ADDR             interface (default 127.0.0.1)
  --public-addr HOST:PORT   what people and agents dial (default localhost:PORT, or ADDR:PORT)
  --config FILE             YAML over the defaults
  --no-agent                do not start the agent for this host
  --label K=V               labels of this host's node, repeatable (default env=home)
  --log-format text|json    (default text on a terminal)
  --log-level LEVEL         trace, debug, info, warn, error (default warn)
  --kek-file FILE           where the key-encryption key lies

Exit codes: 0 stopped in order, 1 failed, 2 wrong usage.
`;

/** @throws FLAG_INVALID, CONFIG_INVALID. Undefined: help was asked for. */
export function readStandaloneConfig(
  args: readonly string[],
  context: { root: string; isTerminal: boolean },
): StandaloneConfig | undefined {
  const flags = parseFlags(args);
  if (flags.help === true) return undefined;
  const file =
    flags.config === undefined
      ? {}
      : z.record(z.string(), z.unknown()).parse(readYamlFile(flags.config));
  const fromFlags = {
    data_dir: flags['data-dir'],
    port: flags.port,
    listen: flags.listen,
    public_addr: flags['public-addr'],
    agent: flags['no-agent'] === true ? false : undefined,
    labels: flags.label === undefined ? undefined : parseLabels(flags.label),
    log_format: flags['log-format'],
    log_level: flags['log-level'],
    kek_file: flags['kek-file'],
  };
  const given = Object.fromEntries(
    Object.entries(fromFlags).filter(([, value]) => value !== undefined),
  );
  const config = parseConfig(standaloneConfigSchema, { ...file, ...given });
  return {
    ...config,
    data_dir:
      config.data_dir ??
      readEnvironment()['GATEHOUSE_DATA_DIR'] ??
      join(context.root, '.gatehouse'),
    log_format: config.log_format ?? (context.isTerminal ? 'text' : 'json'),
    node_name: nodeName(),
    login: userInfo().username,
  };
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (thrown) {
    const why = thrown instanceof Error ? (thrown.message.split('. ')[0] ?? '') : String(thrown);
    throw standaloneError('FLAG_INVALID', { details: { why } });
  }
}

function parseLabels(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1)
        throw standaloneError('FLAG_INVALID', {
          details: { why: `--label ${pair}: write it as K=V` },
        });
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** The host's short name in the letters that names may have. */
function nodeName(): string {
  const short = hostname().split('.')[0] ?? '';
  return short.toLowerCase().replace(/[^a-z0-9-]/g, '-') || 'thishost';
}
