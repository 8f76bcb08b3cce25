import type { GlobalCall } from '../command.js';
import type { Environment } from '../environment.js';
import { writeJson } from '../output/json.js';
import { formatRelative, printable } from '../output/text.js';
import { describeLogin, type Login } from '../profile/profile.js';

/** What `gate login` and `gate status` show. */
export function showLogin({ environment, options }: GlobalCall, login: Login): void {
  if (options.format === 'json') writeJson(environment, describeLogin(login));
  else environment.stdout.write(formatLogin(environment, login));
}

function formatLogin({ clock }: Environment, { profile }: Login): string {
  const rows: [string, string][] = [
    ['user', profile.user],
    ['cluster', `${profile.cluster} at ${profile.proxy}`],
    ['roles', profile.roles.join(', ')],
    ['logins', profile.logins.join(', ')],
    [
      'valid until',
      `${profile.validUntil} (${formatRelative(Date.parse(profile.validUntil), clock.now())})`,
    ],
    ['second factor', profile.mfaVerified ? 'proven' : 'not proven'],
    ...(profile.activeRequests.length === 0
      ? []
      : [['requests', profile.activeRequests.join(', ')] as [string, string]]),
  ];
  return rows
    .map(([name, value]) => `${name.padEnd(15)}${printable(value === '' ? '-' : value)}\n`)
    .join('');
}
