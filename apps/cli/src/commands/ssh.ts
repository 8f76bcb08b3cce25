import { parseArguments } from '../arguments.js';
import { defineCommand, type GlobalCall } from '../command.js';
import { cliError, usageError } from '../errors.js';
import { findProgram } from '../find-program.js';
import { osUserName } from '../login/choose-user.js';
import { openLocalLogin } from '../profile/local-login.js';
import type { Profile } from '../profile/profile.js';
import { runForeground } from '../run-foreground.js';
import { isAgentAlive } from '../ssh/agent-probe.js';
import { namesLogin, splitSshArguments, type SshArguments } from '../ssh/arguments.js';

/** How long an ssh-agent may take to answer before ssh is started without it. */
const agentTimeoutMs = 1000;

/** `gate ssh`: the system's ssh with the file of the present login. */
export const command = defineCommand({
  name: 'ssh',
  usage: "[OpenSSH's own flags] [LOGIN@]HOST [-- COMMAND…]",
  summary: 'open a session on a node',
  help: {
    examples: [
      'gate ssh deploy@web-1',
      'gate ssh -L 8080:localhost:80 deploy@web-1',
      'gate ssh deploy@web-1 -- uptime',
    ],
    notes: [
      "Runs the system's ssh, with all its flags. Exit code: the remote command's own; 255 when the connection failed.",
      'Before HOST also: --proxy HOST:PORT, --home DIR.',
    ],
  },
  options: {},
  arguments: { min: 0, max: Number.MAX_SAFE_INTEGER },
  raw: true,
  async run(call) {
    const split = splitSshArguments(call.arguments);
    const own = parseArguments(split.own, { ...command, arguments: { min: 0, max: 0 } });
    const options = { ...call.options, ...pickText(own.values) };
    if (split.destination === undefined)
      throw usageError('which host? gate ssh [LOGIN@]HOST', 'gate ls nodes');
    if (split.destination.startsWith('-')) throw usageError(`"${split.destination}" is no host`);
    const { profile, files } = openLocalLogin({ environment: call.environment, options });
    const ssh = findSsh(call.environment.variables);
    const args = [
      '-F',
      files.sshConfig,
      ...(await agentOptions(call)),
      ...loginOptions(split, profile),
      ...split.flags,
      split.destination,
      // After a `--` of ours ssh would take a second one for a word of the command.
      ...(split.rest[0] === '--' ? split.rest.slice(1) : split.rest),
    ];
    return runForeground(ssh, args);
  },
});

function pickText(values: Readonly<Record<string, unknown>>): {
  proxy: string | undefined;
  home: string | undefined;
} {
  const { proxy, home } = values;
  return {
    proxy: typeof proxy === 'string' ? proxy : undefined,
    home: typeof home === 'string' ? home : undefined,
  };
}

function findSsh(variables: Readonly<Record<string, string | undefined>>): string {
  const path = findProgram('ssh', variables['PATH']);
  if (path !== undefined) return path;
  const fix = 'install the package openssh-client (Debian, Ubuntu) or openssh-clients (Fedora)';
  throw cliError('PROGRAM_MISSING', { details: { program: 'ssh', fix } });
}

async function agentOptions({ environment }: GlobalCall): Promise<readonly string[]> {
  const path = environment.variables['SSH_AUTH_SOCK'];
  if (path === undefined || path === '' || (await isAgentAlive(path, agentTimeoutMs))) return [];
  environment.stderr.write('gate: the ssh-agent does not answer; going on without it\n');
  return ['-o', 'IdentityAgent=none'];
}

/** Without a login ssh takes the OS user; where that is none of the person's and only one is, that one is meant. */
function loginOptions(split: SshArguments, { logins }: Profile): readonly string[] {
  const [only, ...more] = logins;
  const isClear = only !== undefined && more.length === 0 && !logins.includes(osUserName());
  return isClear && !namesLogin(split) ? ['-l', only] : [];
}
