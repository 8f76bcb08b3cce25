import { defineCommand } from '../command.js';
import { libpqVariables } from '../databases/database-login.js';
import { databaseOptions, useDatabaseLogin } from '../databases/use-database-login.js';
import { cliError } from '../errors.js';
import { findProgram } from '../find-program.js';
import { runForeground } from '../run-foreground.js';

/** `gate db connect` */
export const command = defineCommand({
  name: 'db connect',
  usage: 'NAME [--db-user NAME] [--db-name NAME] [-- PSQL ARGUMENTS…]',
  summary: 'open a database in psql',
  help: {
    examples: [
      'gate db connect pg-1',
      'gate db connect pg-1 --db-name app',
      "gate db connect pg-1 --db-user reader --db-name app -- -c 'select 1'",
    ],
    notes: ["Exit code: psql's own."],
  },
  options: databaseOptions,
  arguments: { min: 1, max: Number.MAX_SAFE_INTEGER },
  async run(call) {
    const login = await useDatabaseLogin(call);
    const { variables } = call.environment;
    const psql = findProgram('psql', variables['PATH']);
    if (psql === undefined) {
      const fix = 'install the package postgresql-client (Debian, Ubuntu) or postgresql (Fedora)';
      throw cliError('PROGRAM_MISSING', { details: { program: 'psql', fix } });
    }
    return runForeground(psql, call.arguments.slice(1), {
      ...variables,
      ...libpqVariables(login),
    });
  },
});
