/** The process: command line, signals and exit codes (0 done, 1 failed, 2 wrong usage or configuration). */
import { finishCommand, readServiceCommand } from '@gatehouse/kit/command-line';
import { runService } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';

import { tunnelCommandLine } from './config.js';
import { createTunnelService } from './service.js';

const command = readServiceCommand(tunnelCommandLine, process.argv.slice(2));
if (command.type === 'done') finishCommand(command);
else {
  const { config, logLevel: level = config.log.level } = command;
  const logger = createLogger({ name: 'tunnel', ...config.log, level });
  process.exitCode = await runService(async () => createTunnelService(config, { logger }), {
    logger,
    stop: config,
  });
}
