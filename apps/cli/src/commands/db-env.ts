import { defineCommand, exitCodes } from '../command.js';
import { libpqVariables } from '../databases/database-login.js';
import { databaseOptions, useDatabaseLogin } from '../databases/use-database-login.js';
import { writeJson } from '../output/json.js';
import { quoteForShell } from '../ssh/ssh-config.js';

/** `gate db env` */
export const command = defineCommand({
  name: 'db env',
  usage: 'NAME [--db-user NAME] [--db-name NAME]',
  summary: 'print the variables by which libpq and its kin reach a database',
  help: {
    examples: [
      'eval "$(gate db env pg-1)" && psql',
      'gate db env pg-1 --db-user owner --db-name app',
      'gate db env pg-1 --format json',
    ],
    notes: ['Logs in to the database where that has not been done yet.'],
  },
  options: databaseOptions,
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const variables = libpqVariables(await useDatabaseLogin(call));
    if (options.format === 'json') writeJson(environment, variables);
    else
      for (const [name, value] of Object.entries(variables))
        environment.stdout.write(`export ${name}=${quoteForShell(value)}\n`);
    return exitCodes.done;
  },
});
