/** The process: command line, signals and exit codes (0 done, 1 failed, 2 wrong usage or configuration). */
import { finishCommand, readServiceCommand } from '@gatehouse/kit/command-line';
import { runService } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';

import { proxyCommandLine } from './config.js';
import { createProxyService } from './service.js';

const command = readServiceCommand(proxyCommandLine, process.argv.slice(2));
if (command.type === 'done') finishCommand(command);
else {
  const { config, logLevel } = command;
  const level = logLevel === undefined ? {} : { level: logLevel };
  const logger = createLogger({ name: 'proxy', ...config.log, ...level });
  process.exitCode = await runService(async () => createProxyService(config, { logger }), {
    logger,
    stop: config,
  });
}
