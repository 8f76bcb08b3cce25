import { GatehouseError } from '@gatehouse/kit/errors';

import { openHome, withLoginService } from '../cluster/clients.js';
import { defineCommand, exitCodes } from '../command.js';
import type { Environment } from '../environment.js';
import { cliError } from '../errors.js';
import { chooseUser } from '../login/choose-user.js';
import { showLogin } from '../login/show-login.js';
import { createLoginKeys, storeIssued } from '../login/store-issued.js';
import { trustCluster } from '../login/trust-cluster.js';
import { parseDurationOption, toDuration } from '../options.js';
import { askHidden, askLine, canAsk, obtainPassword, type ScriptFlags } from '../terminal.js';

/** `gate login` */
export const command = defineCommand({
  name: 'login',
  usage: '[--auth local] [--user NAME]',
  summary: 'log in and get short-lived certificates',
  help: {
    examples: [
      'gate login',
      'gate login --proxy gate.example.com:443 --user alice',
      'gate login --user ci --password-file secret.txt --otp 123456 --ttl 1h',
    ],
    notes: [
      'Keys are made on this machine and never leave it. With --password-file or --otp, or without a terminal, nothing is asked.',
    ],
  },
  options: {
    auth: {
      type: 'text',
      value: 'NAME',
      help: 'local, or the name of a connector; default: local',
    },
    user: {
      type: 'text',
      value: 'NAME',
      help: 'default: $GATE_USER, the last one here, the OS user',
    },
    'password-file': { type: 'text', value: 'FILE', help: 'where the password stands' },
    otp: { type: 'text', value: 'CODE', help: 'the code that the authenticator shows' },
    ttl: { type: 'text', value: '1h', help: 'shorter life of the certificates' },
    'request-id': { type: 'text', value: 'ID', help: 'use an approved access request' },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    if (options.auth !== undefined && options.auth !== 'local') {
      throw cliError('NOT_YET', {
        details: { what: `login by connector (--auth ${options.auth})` },
      });
    }
    if (options['request-id'] !== undefined) {
      throw cliError('NOT_YET', {
        details: { what: 'login with an access request (--request-id)' },
      });
    }
    const { home, address } = openHome(call, true);
    const ttlMs = parseDurationOption('--ttl', options.ttl);
    const { info, target } = await trustCluster(call, home, address);
    const user = await chooseUser(call, home, address.text);
    const password = await obtainPassword(environment, options, (terminal) =>
      askHidden(terminal, `Password of ${user} at ${info.clusterName}: `),
    );
    const otp = await obtainCode(environment, options, info.needsSecondFactor);
    const keys = createLoginKeys();
    const request = {
      user,
      password,
      otp,
      sshPublicKey: keys.sshPublicKey,
      tlsPublicKey: keys.tlsPublicKey,
      ...(ttlMs === undefined ? {} : { ttl: toDuration(ttlMs) }),
    };
    const { issued } = await withLoginService(target, (client) => client.login(request)).catch(
      (thrown: unknown) => {
        throw otp === '' ? withCodeHint(thrown) : thrown;
      },
    );
    showLogin(
      call,
      storeIssued({
        home,
        proxy: address.text,
        programPath: environment.programPath,
        keys,
        issued,
      }),
    );
    return exitCodes.done;
  },
});

/** Why a login was refused is never said; that there was no code is known here. */
function withCodeHint(thrown: unknown): unknown {
  if (!(thrown instanceof GatehouseError) || thrown.kind !== 'unauthenticated') return thrown;
  const { kind, code, message, publicMessage, id } = thrown;
  const remedy = 'give --otp CODE, where a second factor is set up';
  return new GatehouseError(kind, code, message, { publicMessage, id, remedy, cause: thrown });
}

async function obtainCode(
  environment: Environment,
  flags: ScriptFlags,
  isNeeded: boolean,
): Promise<string> {
  if (flags.otp !== undefined) return flags.otp.replaceAll(' ', '');
  if (canAsk(environment, flags)) {
    return (await askLine(environment, 'Code (empty where there is none): ')).replaceAll(' ', '');
  }
  if (!isNeeded) return '';
  throw cliError('OPTION_MISSING', {
    details: { what: 'the code of the second factor', flag: '--otp CODE' },
  });
}
