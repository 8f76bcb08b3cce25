/** The process: command line, signals and exit codes (0 done, 1 failed, 2 wrong usage or configuration). */
import { runService } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';

import { readCommand } from './command-line.js';
import { createTunnelService } from './service.js';

const command = readCommand(process.argv.slice(2));
if (command.type === 'done') {
  process[command.exitCode === 0 ? 'stdout' : 'stderr'].write(command.text);
  process.exitCode = command.exitCode;
} else {
  const { config } = command;
  const logger = createLogger({ name: 'tunnel', ...config.log });
  process.exitCode = await runService(async () => createTunnelService(config, { logger }), {
    logger,
    stopTimeoutMs: config.shutdown_delay + config.drain_timeout + 10_000,
  });
}
