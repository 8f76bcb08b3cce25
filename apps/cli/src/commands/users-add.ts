import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { usageError } from '../errors.js';
import { showInvite } from '../login/show-invite.js';
import { parsePairs } from '../options.js';

/** `gate users add` */
export const command = defineCommand({
  name: 'users add',
  usage: 'NAME --roles ROLE,… [--trait KEY=VALUE]',
  summary: 'invite a person',
  help: {
    examples: [
      'gate users add bob --roles dev,dba',
      'gate users add ci --roles access --trait logins=deploy',
      'gate users add bob --roles dev --format json',
    ],
    notes: ['Several values of one trait are separated by commas. The link is shown once.'],
  },
  options: {
    roles: { type: 'list', value: 'A,B', help: 'roles that the person gets' },
    trait: { type: 'list', value: 'KEY=VALUE', help: 'a trait, for example logins=deploy' },
  },
  arguments: { min: 1, max: 1 },
  async run(call) {
    const roles = call.options.roles
      .flatMap((list) => list.split(','))
      .map((role) => role.trim())
      .filter((role) => role !== '');
    if (roles.length === 0) throw usageError('--roles is missing', 'gate get role');
    const traits = parsePairs('--trait', call.options.trait);
    const user = call.arguments[0] ?? '';
    const invite = await withAdministration(call, (client) =>
      client.createUserInvite({ user, roles, traits }),
    );
    showInvite(call, invite);
    return exitCodes.done;
  },
});
