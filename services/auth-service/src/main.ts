/** The process: command line, signals and exit codes (0 done, 1 failed, 2 wrong usage or configuration). */
import { runService } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';

import { readCommand } from './command-line.js';
import { createAuthService, inviteFirstAdministrator } from './service.js';

const command = readCommand(process.argv.slice(2));
if (command.type === 'done') {
  process[command.exitCode === 0 ? 'stdout' : 'stderr'].write(command.text);
  process.exitCode = command.exitCode;
} else {
  const { config, overrides, logLevel: level } = command;
  const logger = createLogger({ name: 'auth', level });
  if (command.type === 'serve') {
    process.exitCode = await runService(
      async () => createAuthService(config, { ...overrides, logger }),
      { logger },
    );
  } else {
    const invite = await inviteFirstAdministrator(config, { ...overrides, logger });
    const refusal =
      'auth-service: there is an administrator already\n  fix: gate users reset NAME, run by an administrator\n';
    process[invite === undefined ? 'stderr' : 'stdout'].write(
      invite === undefined ? refusal : `${invite.inviteUrl}\n`,
    );
    process.exitCode = invite === undefined ? 1 : 0;
  }
}
