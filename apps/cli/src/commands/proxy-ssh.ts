import { defineCommand, exitCodes, type GlobalCall } from '../command.js';
import { cliError, usageError } from '../errors.js';
import { describeError, formatError } from '../output/report-error.js';
import {
  joinWithStandardStreams,
  openProxyConnection,
  RefusedError,
} from '../port/proxy-connection.js';
import { parseProxyAddress } from '../profile/address.js';
import { openLocalLogin } from '../profile/local-login.js';
import { isExpired, readTlsMaterial, type Profile } from '../profile/profile.js';
import { targetOfHost } from '../ssh/target-name.js';

/** `gate proxy ssh`: what OpenSSH runs as its ProxyCommand. Whatever goes wrong is exit code 255, as in ssh itself. */
export const command = defineCommand({
  name: 'proxy ssh',
  usage: '--host HOST [--port PORT] [--user LOGIN]',
  summary: 'carry an SSH connection to a target on stdin and stdout (for ProxyCommand)',
  help: {
    examples: [
      'gate proxy ssh --host web-1 --port 22 --user deploy',
      "ssh -o ProxyCommand=\"gate proxy ssh --host '%h' --port '%p' --user '%r'\" deploy@web-1",
      'gate config --write gate.ssh   # a file with all that belongs to it',
    ],
  },
  options: {
    host: { type: 'text', value: 'HOST', help: 'the target, also as HOST.<cluster>' },
    port: { type: 'text', value: 'PORT', help: 'not used: targets are names' },
    user: { type: 'text', value: 'LOGIN', help: 'the login on the target' },
  },
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    if (options.host === undefined || options.host === '') throw usageError('--host is missing');
    try {
      await carry(call, options.host, options.user);
      return exitCodes.done;
    } catch (thrown) {
      environment.stderr.write(formatError(describeRefusal(thrown)));
      return exitCodes.noConnection;
    }
  },
});

async function carry(call: GlobalCall, host: string, user: string | undefined): Promise<void> {
  const { environment } = call;
  const login = openLocalLogin(call);
  const { profile } = login;
  const socket = await openProxyConnection({
    address: parseProxyAddress(profile.proxy),
    cluster: profile.cluster,
    tls: readTlsMaterial(login),
    alpn: 'gatehouse-ssh',
    preface: {
      target: targetOfHost(host, profile.cluster),
      ...(user === undefined || user === '' ? {} : { login: user }),
      client: `gate/${environment.version}`,
    },
  }).catch((thrown: unknown) => {
    throw explainFailure(thrown, profile, environment.clock.now());
  });
  await joinWithStandardStreams(socket, process.stdin, process.stdout);
}

/** A TLS layer that ends without a word is most often an ended certificate. */
function explainFailure(thrown: unknown, profile: Profile, nowMs: number): unknown {
  if (thrown instanceof RefusedError || !isExpired(profile, nowMs)) return thrown;
  return cliError('LOGIN_EXPIRED', { details: { at: profile.validUntil }, cause: thrown });
}

function describeRefusal(thrown: unknown) {
  return thrown instanceof RefusedError ? thrown.refusal : describeError(thrown);
}
