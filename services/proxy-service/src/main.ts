/** The process: command line, signals and exit codes (0 done, 1 failed, 2 wrong usage or configuration). */
import { finishCommand, readServiceCommand } from '@gatehouse/kit/command-line';
import { runService } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';

import { proxyCommandLine } from './config.js';
import { proxyError } from './errors.js';

const command = readServiceCommand(proxyCommandLine, process.argv.slice(2));
if (command.type === 'done') finishCommand(command);
else {
  const { config, logLevel } = command;
  const level = logLevel === undefined ? {} : { level: logLevel };
  const logger = createLogger({ name: 'proxy', ...config.log, ...level });
  const start = async (): Promise<AsyncDisposable> => {
    throw proxyError('PROXY_NO_EVENT_LOG');
  };
  process.exitCode = await runService(start, { logger });
}
