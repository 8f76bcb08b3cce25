import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { writeJson } from '../output/json.js';
import { confirm } from '../terminal.js';

/** `gate sessions end` */
export const command = defineCommand({
  name: 'sessions end',
  usage: 'ID [--yes]',
  summary: 'end a live session',
  help: {
    examples: ['gate sessions end ses_…', 'gate sessions end ses_… --yes', 'gate sessions ls'],
  },
  options: { yes: { type: 'boolean', help: 'do not ask' } },
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const id = call.arguments[0] ?? '';
    await confirm(environment, `end session ${id}`, options.yes);
    await withAdministration(call, (client) => client.endSession({ id }));
    if (options.format === 'json') writeJson(environment, { id });
    else environment.stdout.write(`${id} is ending\n`);
    return exitCodes.done;
  },
});
