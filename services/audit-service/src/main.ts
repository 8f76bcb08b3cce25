/** The process: command line, signals and exit codes (0 done, 1 failed, 2 wrong usage or configuration). */
import { finishCommand, readServiceCommand } from '@gatehouse/kit/command-line';
import { readEnvironment, Secret } from '@gatehouse/kit/config';
import { runOnce, runService } from '@gatehouse/kit/lifecycle';
import { createLogger } from '@gatehouse/kit/log';

import { auditCommandLine } from './config.js';
import { createAuditService, migrateDatabase, type AuditOverrides } from './service.js';

const command = readServiceCommand(auditCommandLine, process.argv.slice(2));
if (command.type === 'done') finishCommand(command);
else {
  const { config, verb, logLevel } = command;
  const logger = createLogger({
    name: 'audit',
    ...config.log,
    ...(logLevel === undefined ? {} : { level: logLevel }),
  });
  const url = readEnvironment()['AUDIT_DATABASE_URL'];
  const overrides: Partial<AuditOverrides> =
    url === undefined ? { logger } : { logger, databaseUrl: new Secret(url) };
  process.exitCode =
    verb === 'migrate'
      ? await runOnce(async () => migrateDatabase(config, overrides), logger)
      : await runService(async () => createAuditService(config, overrides), {
          logger,
          stop: config,
        });
}
