import { withLoginService } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import type { Environment } from '../environment.js';
import { usageError } from '../errors.js';
import { osUserName } from '../login/choose-user.js';
import { parseInviteUrl } from '../login/invite-url.js';
import { showSecondFactor } from '../login/show-second-factor.js';
import { trustCluster } from '../login/trust-cluster.js';
import { writeJson } from '../output/json.js';
import { printable } from '../output/text.js';
import { checkHome, reserveFile } from '../profile/files.js';
import { rememberCluster, rememberLastCluster } from '../profile/known-clusters.js';
import { rememberUser } from '../profile/last-user.js';
import { findHome } from '../profile/paths.js';
import { askHidden, askLine, canAsk, obtainPassword, type ScriptFlags } from '../terminal.js';

/** `gate invite accept` */
export const command = defineCommand({
  name: 'invite accept',
  usage: 'URL [--user NAME] [--password-file FILE] [--totp-secret-file OUT]',
  summary: 'use an invitation: set a password and a second factor',
  help: {
    examples: [
      'gate invite accept https://localhost:8443/invite/4kq…',
      'gate invite accept URL --user ada --password-file secret.txt --totp-secret-file totp.uri',
      'gate invite accept URL --ca-pin sha256:… --format json',
    ],
    notes: [
      'The link works once. --user is for the first administrator; other invitations carry their name.',
    ],
  },
  options: {
    user: {
      type: 'text',
      value: 'NAME',
      help: 'name of the first administrator; default: the OS user',
    },
    'password-file': { type: 'text', value: 'FILE', help: 'where the new password stands' },
    'totp-secret-file': {
      type: 'text',
      value: 'OUT',
      help: 'gets the otpauth:// URI of the authenticator',
    },
  },
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const { address, token } = parseInviteUrl(call.arguments[0] ?? '');
    const home = findHome({ variables: environment.variables, home: options.home });
    checkHome(home, true);
    const { info, target } = await trustCluster(call, home, address);
    const invite = await withLoginService(target, (client) => client.getInvite({ token }));
    const user = await chooseName(call, invite.user);
    const password = await obtainPassword(environment, options, askNewPassword);
    const secretPath = options['totp-secret-file'];
    using secretFile = secretPath === undefined ? undefined : reserveFile(secretPath);
    const accepted = await withLoginService(target, (client) =>
      client.acceptInvite({ token, user: invite.user === '' ? user : '', password }),
    );
    showSecondFactor(environment, accepted.totpUri, secretFile);
    rememberCluster(home, {
      proxyAddr: address.text,
      clusterName: info.clusterName,
      caPins: info.caPins,
    });
    rememberLastCluster(home, address.text);
    rememberUser(home, address.text, accepted.user);
    const secondFactors = accepted.totpUri === '' ? [] : ['totp'];
    if (options.format === 'json') {
      writeJson(environment, { user: accepted.user, roles: accepted.roles, secondFactors });
    } else {
      const roles = accepted.roles.map(printable).join(', ');
      environment.stdout.write(
        `${printable(accepted.user)} is set up with the roles ${roles}. Next: gate login\n`,
      );
    }
    return exitCodes.done;
  },
});

async function chooseName(
  {
    environment,
    options,
  }: {
    environment: Environment;
    options: ScriptFlags & { readonly user: string | undefined };
  },
  invited: string,
): Promise<string> {
  if (invited !== '') {
    if (options.user === undefined || options.user === invited) return invited;
    throw usageError(`this invitation is for ${printable(invited)}, not for ${options.user}`);
  }
  const proposed = options.user ?? environment.variables['GATE_USER'] ?? osUserName();
  if (options.user !== undefined || !canAsk(environment, options)) return proposed;
  const answer = (
    await askLine(environment, `Name of the first administrator [${proposed}]: `)
  ).trim();
  return answer === '' ? proposed : answer;
}

async function askNewPassword(environment: Environment): Promise<string> {
  const password = await askHidden(environment, 'New password (10 characters or more): ');
  if ((await askHidden(environment, 'Once more: ')) !== password)
    throw usageError('the two passwords differ');
  return password;
}
