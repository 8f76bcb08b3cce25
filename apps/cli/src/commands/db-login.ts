import { defineCommand, exitCodes } from '../command.js';
import { databaseOptions, logInWithService } from '../databases/use-database-login.js';
import { writeJson } from '../output/json.js';

/** `gate db login` */
export const command = defineCommand({
  name: 'db login',
  usage: 'NAME [--db-user NAME] [--db-name NAME]',
  summary: 'get a certificate for a database, for its own clients',
  help: {
    examples: [
      'gate db login pg-1 --db-user reader --db-name app',
      'psql service=pg-1',
      'gate db login pg-1 --format json',
    ],
    notes: [
      'Writes a block to ~/.pg_service.conf ($PGSERVICEFILE). What is given by --db-user and --db-name, the certificate is bound to.',
    ],
  },
  options: databaseOptions,
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const login = await logInWithService(call, {
      name: call.arguments[0] ?? '',
      user: options['db-user'],
      database: options['db-name'],
    });
    if (options.format === 'json') {
      const { name: _name, ...shown } = login;
      writeJson(environment, shown);
    } else {
      environment.stdout.write(`psql service=${login.service}\n`);
      environment.stderr.write(
        `as ${login.user} on ${login.database} of ${login.name}, until ${login.validUntil}\n`,
      );
    }
    return exitCodes.done;
  },
});
