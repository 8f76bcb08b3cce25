import { withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import { usageError } from '../errors.js';
import { writeJson } from '../output/json.js';
import { printable } from '../output/text.js';
import { openLocalLogin } from '../profile/local-login.js';

/** `gate access explain` */
export const command = defineCommand({
  name: 'access explain',
  usage: '--user NAME --target NAME --login LOGIN',
  summary: 'say why somebody may or may not use a target',
  help: {
    examples: [
      'gate access explain --user alice --target web-1 --login deploy',
      'gate access explain --target web-1 --login root',
      'gate access explain --user bob --kind database --target pg-1 --login reader',
    ],
  },
  options: {
    user: { type: 'text', value: 'NAME', help: 'default: yourself' },
    target: { type: 'text', value: 'NAME', help: 'the target' },
    login: { type: 'text', value: 'LOGIN', help: 'login, database user, …' },
    kind: { type: 'text', value: 'KIND', help: 'kind of the target; default: node' },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    if (options.target === undefined) throw usageError('--target is missing', 'gate ls');
    const user = options.user ?? openLocalLogin(call).profile.user;
    const { target, login = '', kind = '' } = options;
    const { allowed, reason, lines } = await withAdministration(call, (client) =>
      client.explainAccess({ user, target, login, kind }),
    );
    if (options.format === 'json') writeJson(environment, { allowed, reason, lines });
    else environment.stdout.write(`${lines.map(printable).join('\n')}\n`);
    return exitCodes.done;
  },
});
