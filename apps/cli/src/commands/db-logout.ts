import { defineCommand, exitCodes } from '../command.js';
import { logOutOfDatabases } from '../databases/log-out.js';
import { writeJson } from '../output/json.js';

/** `gate db logout` */
export const command = defineCommand({
  name: 'db logout',
  usage: '[NAME]',
  summary: 'remove the certificates of a database, or of all',
  help: {
    examples: ['gate db logout pg-1', 'gate db logout', 'gate db logout --format json'],
    notes: ['Open sessions go on; gate logout ends them, with every certificate of the login.'],
  },
  options: {},
  arguments: { min: 0, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const logins = logOutOfDatabases(call, call.arguments[0]);
    if (options.format === 'json') writeJson(environment, {});
    else if (logins.length === 0) environment.stderr.write('not logged in to a database\n');
    else for (const login of logins) environment.stdout.write(`logged out of ${login.name}\n`);
    return exitCodes.done;
  },
});
