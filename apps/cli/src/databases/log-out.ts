/** Takes back what `gate db login` wrote. */
import { openHome } from '../cluster/clients.js';
import type { GlobalCall } from '../command.js';
import { listDatabaseLogins, removeDatabaseLogin, type DatabaseLogin } from './database-login.js';
import { removeService, serviceFile } from './service-file.js';

/** Removes files and blocks of one database, or of all of the cluster; returns which. @throws FILE_UNWRITABLE */
export function logOutOfDatabases(call: GlobalCall, name?: string): DatabaseLogin[] {
  const { home, address } = openHome(call);
  const file = serviceFile(call.environment.variables);
  const logins = listDatabaseLogins(home, address.text).filter(
    (login) => name === undefined || login.name === name,
  );
  for (const login of logins) {
    removeDatabaseLogin(home, address.text, login.name);
    removeService(file, login);
  }
  return logins;
}
