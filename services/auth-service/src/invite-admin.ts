/** `auth-service invite-admin`: a link for the first administrator on stdout. */
import type { AuthConfig } from './config.js';
import { inviteFirstAdministrator, type AuthOverrides } from './service.js';

/** @returns the exit code: 1 where there is an administrator */
export async function printFirstInvite(
  config: AuthConfig,
  overrides: Partial<AuthOverrides>,
): Promise<0 | 1> {
  const invite = await inviteFirstAdministrator(config, overrides);
  if (invite !== undefined) {
    process.stdout.write(`${invite.inviteUrl}\n`);
    return 0;
  }
  process.stderr.write('auth-service: there is an administrator already\n');
  process.stderr.write('  fix: gate users reset NAME, run by an administrator\n');
  return 1;
}
