import { openHome, withLoginService } from '../cluster/clients.js';
import { defineCommand, exitCodes, type GlobalCall } from '../command.js';
import { logOutOfDatabases } from '../databases/log-out.js';
import { writeJson } from '../output/json.js';
import { describeError } from '../output/report-error.js';
import type { ProxyAddress } from '../profile/address.js';
import { findLogin, isExpired, readTlsMaterial, type Login } from '../profile/profile.js';
import { removeLogin } from '../profile/store-login.js';

/** `gate logout` */
export const command = defineCommand({
  name: 'logout',
  usage: '',
  summary: 'end the login and remove its keys',
  help: {
    examples: [
      'gate logout',
      'gate logout --proxy gate.example.com:443',
      'gate logout --format json',
    ],
    notes: [
      'Without the network the keys are removed all the same; the certificates then end by themselves.',
    ],
  },
  options: {},
  arguments: { min: 0, max: 0 },
  async run(call) {
    const { environment, options } = call;
    const { home, address } = openHome(call);
    const login = findLogin(home, address.text);
    if (login === undefined) environment.stderr.write(`not logged in to ${address.text}\n`);
    else if (!isExpired(login.profile, environment.clock.now()))
      await endLogin(call, address, login);
    try {
      logOutOfDatabases(call);
    } finally {
      removeLogin(home, address.text);
    }
    if (options.format === 'json') writeJson(environment, {});
    else if (login !== undefined)
      environment.stdout.write(`logged out of ${login.profile.cluster}\n`);
    return exitCodes.done;
  },
});

/** Tells auth-service; the keys go whatever it answers. */
async function endLogin(
  { environment }: GlobalCall,
  address: ProxyAddress,
  login: Login,
): Promise<void> {
  try {
    const { key, certificate, ca } = readTlsMaterial(login);
    const { cluster } = login.profile;
    await withLoginService(
      { address, cluster, ca, identity: { key, certificate }, clock: environment.clock },
      (client) => client.logout({}),
    );
  } catch (thrown) {
    environment.stderr.write(
      `gate: the login could not be ended at the cluster: ${describeError(thrown).message}\n`,
    );
  }
}
