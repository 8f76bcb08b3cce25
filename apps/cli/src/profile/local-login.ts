/** The login that is meant, without asking any service. Loaded by the short paths: nothing of gRPC belongs here. */
import type { GlobalCall } from '../command.js';
import { checkHome } from './files.js';
import { chooseCluster } from './known-clusters.js';
import { findHome } from './paths.js';
import { readLogin, type Login } from './profile.js';

/** @throws NO_CLUSTER, NOT_LOGGED_IN, HOME_UNSAFE */
export function openLocalLogin({ environment, options }: GlobalCall): Login {
  const home = findHome({ variables: environment.variables, home: options.home });
  checkHome(home, false);
  return readLogin(home, chooseCluster(home, environment.variables, options.proxy).text);
}
