import { openSession, withAdministration } from '../cluster/clients.js';
import { defineCommand, exitCodes, type GlobalCall } from '../command.js';
import { parseDocument } from '../documents/document.js';
import { cliError, usageError } from '../errors.js';
import { parseDurationOption, toDuration, parseTimeOption } from '../options.js';
import { writeJson } from '../output/json.js';
import { canAsk, confirm } from '../terminal.js';

/** `gate lock` */
export const command = defineCommand({
  name: 'lock',
  usage:
    '--user NAME | --role … | --login … | --target … | --agent … [--message TEXT] [--ttl 1h] [--yes]',
  summary: 'shut out a person, role, login, target, agent, …, at once',
  help: {
    examples: [
      'gate lock --user alice --message "incident 7"',
      'gate lock --target web-1 --ttl 2h',
      'gate delete lock/NAME   # lifts it',
    ],
    notes: [
      'Live sessions that it names end within a second.',
      'One that names you or a role of yours asks first; without a terminal it needs --yes.',
    ],
  },
  options: {
    user: { type: 'text', value: 'NAME', help: 'a person' },
    role: { type: 'text', value: 'NAME', help: 'everybody who has a role' },
    login: { type: 'text', value: 'NAME', help: 'a login name on targets' },
    target: { type: 'text', value: 'NAME', help: 'a target' },
    agent: { type: 'text', value: 'NAME', help: 'an agent and its targets' },
    replica: { type: 'text', value: 'srv_…', help: 'one replica of a service' },
    'login-session': { type: 'text', value: 'lgn_…', help: 'one login' },
    request: { type: 'text', value: 'req_…', help: 'an access request' },
    'mfa-device': { type: 'text', value: 'NAME', help: 'a second factor' },
    message: { type: 'text', value: 'TEXT', help: 'what those who are shut out are told' },
    ttl: { type: 'text', value: '1h', help: 'ends by itself' },
    until: { type: 'text', value: 'TIME', help: 'ends by itself, RFC 3339' },
    yes: { type: 'boolean', help: 'do not ask' },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    const named = {
      user: options.user,
      role: options.role,
      login: options.login,
      target: options.target,
      agent: options.agent,
      replica: options.replica,
      loginSession: options['login-session'],
      request: options.request,
      mfaDevice: options['mfa-device'],
    };
    const given = Object.entries(named).filter(([, value]) => value !== undefined);
    if (given.length !== 1)
      throw usageError('say exactly one: --user, --role, --login, --target, --agent, …');
    const ttlMs = parseDurationOption('--ttl', options.ttl);
    const expiresAt = parseTimeOption('--until', options.until);
    if (!options.yes) await confirmOwnLock(call);
    const { documentJson } = await withAdministration(call, (client) =>
      client.createLock({
        ...Object.fromEntries(given),
        message: options.message ?? '',
        ...(ttlMs === undefined ? {} : { ttl: toDuration(ttlMs) }),
        ...(expiresAt === undefined ? {} : { expiresAt }),
      }),
    );
    const document = parseDocument(documentJson);
    if (options.format === 'json') writeJson(environment, document);
    else {
      const [what, who] = given[0] ?? [];
      environment.stdout.write(
        `locked ${what} ${who}; gate delete lock/${document.metadata.name} lifts it\n`,
      );
    }
    return exitCodes.done;
  },
});

/** Whoever locks himself out may have nobody to let him in again, so a script has to say that it means it. */
async function confirmOwnLock(
  call: GlobalCall & {
    readonly options: { readonly user: string | undefined; readonly role: string | undefined };
  },
): Promise<void> {
  const { environment, options } = call;
  const { user, roles } = openSession(call).login.profile;
  const isOwnRole = options.role !== undefined && roles.includes(options.role);
  if (options.user !== user && !isOwnRole) return;
  const what = `lock ${isOwnRole ? `role ${options.role}` : `user ${user}`}, which shuts you out`;
  if (!canAsk(environment)) {
    throw cliError('OPTION_MISSING', {
      details: { what: `the confirmation to ${what},`, flag: '--yes' },
    });
  }
  await confirm(environment, what, false);
}
