import type { GlobalCall } from '../command.js';
import { writeJson } from '../output/json.js';
import { formatRelative, printable } from '../output/text.js';

/** What `users add` and `users reset` show. */
export function showInvite(
  { environment, options }: GlobalCall,
  invite: {
    readonly user: string;
    readonly inviteUrl: string;
    readonly expiresAt: Date | undefined;
  },
): void {
  const { user, inviteUrl, expiresAt } = invite;
  if (options.format === 'json') {
    writeJson(environment, { user, inviteUrl, expiresAt: expiresAt?.toISOString() ?? null });
    return;
  }
  const until =
    expiresAt === undefined
      ? ''
      : ` (${formatRelative(expiresAt.getTime(), environment.clock.now())})`;
  environment.stdout.write(`${printable(inviteUrl)}\n`);
  environment.stderr.write(
    `for ${printable(user)}, once, until it ends${until}; it is not shown again\n`,
  );
}
