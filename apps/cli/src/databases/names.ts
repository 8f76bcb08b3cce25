/** Which names go into files and onto the terminal as they are. */
import { cliError, usageError } from '../errors.js';
import type { DatabaseLogin, DatabaseWish } from './database-login.js';

/** A service file has one line for each setting and cuts blanks at its ends (PostgreSQL §34.17); a terminal obeys controls. */
const unfit = /^$|^\s|\s$|[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u;
/** It names a section. */
const unfitForSection = /[[\]]/;

/** What a person asks for. @throws USAGE */
export function checkWish({ name, user, database }: DatabaseWish): void {
  const given = [
    ['NAME', name],
    ['--db-user', user],
    ['--db-name', database],
  ] as const;
  const found = given.find(([, text]) => text !== undefined && unfit.test(text));
  if (found === undefined) return;
  throw usageError(
    `${found[0]}: a name is not empty, and has neither control characters nor blanks at its ends`,
  );
}

/** What a cluster makes of it. @throws NOT_A_CLUSTER */
export function checkNames(
  proxy: string,
  { service, name, user }: Pick<DatabaseLogin, 'service' | 'name' | 'user'>,
): void {
  if (![service, name, user].some((text) => unfit.test(text)) && !unfitForSection.test(service))
    return;
  const why = `it gives the database ${JSON.stringify(name)} or its user a name that no service file holds`;
  throw cliError('NOT_A_CLUSTER', { details: { proxy, why } });
}
