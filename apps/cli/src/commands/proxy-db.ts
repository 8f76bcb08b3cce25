import { defineCommand, exitCodes } from '../command.js';
import { openLocalPort } from '../databases/local-port.js';
import { usageError } from '../errors.js';
import { writeJson } from '../output/json.js';
import { parseProxyAddress } from '../profile/address.js';
import { openLocalLogin } from '../profile/local-login.js';
import { readTlsMaterial } from '../profile/profile.js';

/** `gate proxy db`: a port of this machine that leads to a database, for clients that know no client certificates. */
export const command = defineCommand({
  name: 'proxy db',
  usage: 'NAME [--port PORT]',
  summary: 'open a port on this machine that leads to a database',
  help: {
    examples: [
      'gate proxy db pg-1',
      'gate proxy db pg-1 --port 5433',
      'psql "host=127.0.0.1 port=5433 user=reader dbname=app sslmode=disable"',
    ],
    notes: [
      'Whoever can reach the port acts as you: it listens on 127.0.0.1 alone. It ends with Ctrl-C.',
    ],
  },
  options: { port: { type: 'text', value: 'PORT', help: 'default: any free one' } },
  arguments: { min: 1, max: 1 },
  async run(call) {
    const { environment, options } = call;
    const port = Number(options.port ?? '0');
    if (!Number.isInteger(port) || port < 0 || port > 65_535)
      throw usageError(`"${options.port}" is no port`);
    const login = openLocalLogin(call);
    readTlsMaterial(login);
    await using local = await openLocalPort({
      port,
      // Read anew for each connection: the login may have been renewed meanwhile.
      connection: () => ({
        address: parseProxyAddress(login.profile.proxy),
        cluster: login.profile.cluster,
        tls: readTlsMaterial(login),
        alpn: 'gatehouse-db',
        preface: { target: call.arguments[0] ?? '', client: `gate/${environment.version}` },
      }),
      onRefused: (why) => environment.stderr.write(`gate: ${why}\n`),
    });
    if (options.format === 'json') writeJson(environment, { host: '127.0.0.1', port: local.port });
    else environment.stdout.write(`127.0.0.1:${local.port}\n`);
    await new Promise<void>((resolve) => process.once('SIGINT', resolve).once('SIGTERM', resolve));
    return exitCodes.done;
  },
});
