import { defineCommand, exitCodes } from '../command.js';
import { showLogin } from '../login/show-login.js';
import { openLocalLogin } from '../profile/local-login.js';
import { checkNotExpired } from '../profile/profile.js';

/** `gate status` */
export const command = defineCommand({
  name: 'status',
  usage: '',
  summary: 'show who is logged in, until when, and where the keys lie',
  help: {
    examples: [
      'gate status',
      'gate status --format json',
      'gate status --proxy gate.example.com:443',
    ],
    notes: ['Exit code 1 where nobody is logged in or the login has ended.'],
  },
  options: {},
  arguments: { min: 0, max: 0 },
  async run(call) {
    const login = openLocalLogin(call);
    checkNotExpired(login.profile, call.environment.clock.now());
    showLogin(call, login);
    return exitCodes.done;
  },
});
