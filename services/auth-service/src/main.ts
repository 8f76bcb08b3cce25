/** The process: command line, signals and exit codes (0 done, 1 failed, 2 wrong usage or configuration). */
import { finishCommand, readServiceCommand } from '@gatehouse/kit/command-line';
import { readEnvironment, Secret } from '@gatehouse/kit/config';
import { runOnce, runService } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';

import { authCommandLine } from './config.js';
import { printFirstInvite } from './invite-admin.js';
import { createAuthService, migrateDatabase } from './service.js';

const command = readServiceCommand(authCommandLine, process.argv.slice(2));
if (command.type === 'done') finishCommand(command);
else {
  const { config, verb, logLevel } = command;
  const logger = createLogger({
    name: 'auth',
    ...config.log,
    ...(logLevel === undefined ? {} : { level: logLevel }),
    // Its stdout is the link alone.
    ...(verb === 'invite-admin' ? { destination: process.stderr } : {}),
  });
  const url = readEnvironment()['AUTH_DATABASE_URL'];
  const overrides = url === undefined ? { logger } : { logger, databaseUrl: new Secret(url) };
  if (verb === 'invite-admin') process.exitCode = await printFirstInvite(config, overrides);
  else if (verb === 'migrate')
    process.exitCode = await runOnce(async () => migrateDatabase(config, overrides), logger);
  else
    process.exitCode = await runService(async () => createAuthService(config, overrides), {
      logger,
      stop: config,
    });
}
