/** `gate-agent`: what the command line asks for. */
import { parseArgs } from 'node:util';

import { readEnvironment } from '@gatehouse/kit/config';
import type { LogLevel } from '@gatehouse/kit/log';

import type { AgentOptions } from './agent.js';

export type Command =
  | { readonly type: 'serve'; readonly options: AgentOptions; readonly logLevel: LogLevel }
  /** Everything is said: print the text and end with the code. */
  | { readonly type: 'done'; readonly text: string; readonly exitCode: 0 | 2 };

const usage = `gate-agent: lets a Gatehouse cluster reach what is near this host. It opens no port.

  gate-agent --proxy HOST:PORT --ca-pin sha256:… --token T --data-dir D [--config agent.yaml]

  --proxy HOST:PORT     the cluster's port; kept after the first start
  --ca-pin PIN          pin of the cluster's authority (repeatable); where no public authority vouches for the port
  --token T             one-use token from gate tokens add; or GATE_AGENT_TOKEN in the environment
  --data-dir D          who this agent is, between starts
  --config FILE         what it may reach (YAML); kept after the first start
  --log-level LEVEL     trace, debug, info, warn, error, silent (default info)

HTTPS_PROXY and NO_PROXY in the environment are obeyed.
`;

const levels: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** Never throws. */
export function readCommand(args: readonly string[]): Command {
  try {
    return readParsed(args);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return { type: 'done', text: `gate-agent: ${why}\n`, exitCode: 2 };
  }
}

function readParsed(args: readonly string[]): Command {
  const { values } = parseArgs({
    args: [...args],
    options: {
      proxy: { type: 'string' },
      'ca-pin': { type: 'string', multiple: true },
      token: { type: 'string' },
      'data-dir': { type: 'string' },
      config: { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return { type: 'done', text: usage, exitCode: 0 };
  const logLevel = levels.find((level) => level === values['log-level']);
  const dataDir = values['data-dir'];
  if (dataDir === undefined || logLevel === undefined)
    return { type: 'done', text: usage, exitCode: 2 };
  const environment = readEnvironment();
  const token = values.token ?? environment['GATE_AGENT_TOKEN'];
  const options: AgentOptions = {
    dataDir,
    environment,
    caPin: values['ca-pin'] ?? [],
    ...(values.proxy === undefined ? {} : { proxy: values.proxy }),
    ...(token === undefined ? {} : { token }),
    ...(values.config === undefined ? {} : { config: values.config }),
  };
  return { type: 'serve', options, logLevel };
}
