/** The login at a database that a command uses: the stored one, or a new one. */
import { openHome } from '../cluster/clients.js';
import type { GlobalCall } from '../command.js';
import {
  logInToDatabase,
  readDatabaseLogin,
  type DatabaseLogin,
  type DatabaseWish,
} from './database-login.js';
import { checkWish } from './names.js';
import { addService, chooseService, serviceFile } from './service-file.js';

/** The options by which a database user and a database are chosen. */
export const databaseOptions = {
  'db-user': {
    type: 'text',
    value: 'NAME',
    help: 'database user; default: the only one that you may be',
  },
  'db-name': { type: 'text', value: 'NAME', help: 'database; default: named like the user' },
} as const;

/** A call of a command with these options, whose first argument is the database's name. */
export interface DatabaseCall extends GlobalCall {
  readonly options: GlobalCall['options'] & {
    readonly 'db-user': string | undefined;
    readonly 'db-name': string | undefined;
  };
  readonly arguments: readonly string[];
}

/** Gets the certificate and writes the service's block. */
export async function logInWithService(
  call: GlobalCall,
  wish: DatabaseWish,
): Promise<DatabaseLogin> {
  const file = serviceFile(call.environment.variables);
  const login = await logInToDatabase(call, wish, (place) => chooseService(file, place));
  addService(file, login);
  return login;
}

/** A stored one is taken while it lasts and is for the user and database that are asked for. */
export async function useDatabaseLogin(call: DatabaseCall): Promise<DatabaseLogin> {
  const [name = ''] = call.arguments;
  const { 'db-user': user, 'db-name': database } = call.options;
  checkWish({ name, user, database });
  const { home, address } = openHome(call);
  const stored = readDatabaseLogin(home, address.text, name);
  const isFitting =
    stored !== undefined &&
    Date.parse(stored.validUntil) > call.environment.clock.now() &&
    (user ?? stored.user) === stored.user &&
    (database ?? stored.database) === stored.database;
  return isFitting ? stored : logInWithService(call, { name, user, database });
}
