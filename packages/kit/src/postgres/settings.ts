/** A service's database as its configuration names it: schema, address with password, migrations and rights. */
import { z } from 'zod';

import { readSecretFile, type Secret } from '../config/config.js';

/** `database:` of a service's configuration. */
export const databaseSchema = z
  .strictObject({
    /** `postgres://user@host:5432/name`, without a password. */
    url: z.string().startsWith('postgres').optional(),
    /** File with the password for `url`. */
    password_file: z.string().optional(),
    /** Socket of an embedded database, `…/.s.PGSQL.<port>`. */
    socket: z.string().optional(),
    /** `apply`: the service migrates its database when it starts; `expect`: somebody else has done so, by `migrate`. */
    migrations: z.enum(['apply', 'expect']).default('apply'),
    /** Role to which `migrate` gives what the service needs, where the service is not the owner of its tables. */
    grant_to: z
      .string()
      .regex(/^[a-z_][a-z0-9_]{0,62}$/, 'a role: letters, digits and _')
      .optional(),
  })
  .superRefine((database, context) => {
    if (database.url !== undefined && database.socket !== undefined)
      context.addIssue({ code: 'custom', message: 'url and socket exclude each other' });
    if (database.url !== undefined && hasPassword(database.url)) {
      const message = 'holds a password; write it to a file and name that as password_file';
      context.addIssue({ code: 'custom', path: ['url'], message });
    }
  });

export type DatabaseSettings = z.output<typeof databaseSchema>;

/**
 * Where the database is, with its password. Neither field: nothing is configured.
 * @param override takes the place of `url`; may hold a password
 */
export function databaseAddress(
  { url, password_file: passwordFile, socket }: DatabaseSettings,
  override?: Secret,
): { readonly url?: string; readonly socketPath?: string } {
  if (override !== undefined) return { url: override.reveal() };
  if (url === undefined) return socket === undefined ? {} : { socketPath: socket };
  if (passwordFile === undefined) return { url };
  const password = encodeURIComponent(readSecretFile(passwordFile).reveal());
  return { url: url.replace(/^(\w+:\/\/[^/@:?]+)@/, `$1:${password}@`) };
}

function hasPassword(url: string): boolean {
  return /^\w+:\/\/[^/@?]*:[^/@?]+@/.test(url) || /[?&]password=/.test(url);
}
