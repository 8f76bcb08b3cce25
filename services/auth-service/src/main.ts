/** The process: command line, signals and exit codes (0 done, 1 failed, 2 wrong usage or configuration). */
import { finishCommand, readServiceCommand } from '@gatehouse/kit/command-line';
import { readEnvironment, Secret } from '@gatehouse/kit/config';
import { runService } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';

import { authCommandLine } from './config.js';
import { createAuthService, inviteFirstAdministrator } from './service.js';

const command = readServiceCommand(authCommandLine, process.argv.slice(2));
if (command.type === 'done') finishCommand(command);
else {
  const { config, verb, logLevel: level = 'info' } = command;
  const logger = createLogger({ name: 'auth', level });
  const url = readEnvironment()['AUTH_DATABASE_URL'];
  const overrides = url === undefined ? { logger } : { logger, databaseUrl: new Secret(url) };
  if (verb === undefined) {
    process.exitCode = await runService(async () => createAuthService(config, overrides), {
      logger,
    });
  } else {
    const invite = await inviteFirstAdministrator(config, overrides);
    const refusal =
      'auth-service: there is an administrator already\n  fix: gate users reset NAME, run by an administrator\n';
    process[invite === undefined ? 'stderr' : 'stdout'].write(
      invite === undefined ? refusal : `${invite.inviteUrl}\n`,
    );
    process.exitCode = invite === undefined ? 1 : 0;
  }
}
