import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { parseFullReference } from '../documents/document.js';
import { writeJson } from '../output/json.js';
import { confirm } from '../terminal.js';

/** `gate delete` */
export const command = defineCommand({
  name: 'delete',
  usage: 'KIND/NAME [--yes]',
  summary: 'remove a document',
  help: {
    examples: [
      'gate delete lock/NAME',
      'gate delete role/dev --yes',
      'gate delete user/bob --format json',
    ],
    notes: ['Live sessions that depend on it end within 5 s.'],
  },
  options: { yes: { type: 'boolean', help: 'do not ask' } },
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const reference = parseFullReference(call.arguments[0] ?? '');
    const what = `${reference.kind}/${reference.name}`;
    await confirm(environment, `delete ${what}`, options.yes);
    await withAdministration(call, (client) => client.deleteDocument(reference));
    if (options.format === 'json') writeJson(environment, reference);
    else environment.stdout.write(`${what} deleted\n`);
    return exitCodes.done;
  },
});
