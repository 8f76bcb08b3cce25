import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { showInvite } from '../login/show-invite.js';
import { confirm } from '../terminal.js';

/** `gate users reset` */
export const command = defineCommand({
  name: 'users reset',
  usage: 'NAME [--yes]',
  summary: "take a person's factors and certificates away and make a link for new ones",
  help: {
    examples: [
      'gate users reset bob',
      'gate users reset bob --yes',
      'gate users reset bob --format json',
    ],
  },
  options: { yes: { type: 'boolean', help: 'do not ask' } },
  arguments: { min: 1, max: 1 },
  async run(call) {
    const user = call.arguments[0] ?? '';
    const what = `end every login of ${user} and forget password and second factor`;
    await confirm(call.environment, what, call.options.yes);
    showInvite(call, await withAdministration(call, (client) => client.resetUser({ user })));
    return exitCodes.done;
  },
});
