/** Takes back what `gate db login` wrote. */
import { openHome } from '../cluster/clients.js';
import type { GlobalCall } from '../command.js';
import {
  listDatabaseLogins,
  removeDatabaseKeys,
  removeDatabaseLogin,
  type DatabaseLogin,
} from './database-login.js';
import { removeService, serviceFile } from './service-file.js';

/**
 * Removes files and blocks of one database, or of all of the cluster; returns which. All keys go first; a login whose block
 * could not be taken out stays listed, so that the next time can.
 * @throws FILE_UNWRITABLE
 */
export function logOutOfDatabases(call: GlobalCall, name?: string): DatabaseLogin[] {
  const { home, address } = openHome(call);
  const file = serviceFile(call.environment.variables);
  const logins = listDatabaseLogins(home, address.text).filter(
    (login) => name === undefined || login.name === name,
  );
  for (const { name: database } of logins) removeDatabaseKeys(home, address.text, database);
  for (const login of logins) {
    removeService(file, login);
    removeDatabaseLogin(home, address.text, login.name);
  }
  return logins;
}
