/** What tests elsewhere need of auth-service: a running cluster's authorities, to forge what must be refused. */
import { createDatabase } from '@gatehouse/kit/postgres';

import { openAuthorities, type Authorities } from './authorities/authorities.js';
import { createKeyring, readKeyFile } from './sealing/keyring.js';
import type { Tables } from './store/tables.js';

/** Opens the authorities of a database that its own service is using. */
export async function borrowAuthorities(place: {
  readonly socketPath: string;
  readonly kekFile: string;
  readonly clusterName: string;
}): Promise<Authorities> {
  const database = createDatabase<Tables>({ socketPath: place.socketPath });
  try {
    return await openAuthorities(
      database,
      createKeyring(readKeyFile(place.kekFile)),
      place.clusterName,
    );
  } finally {
    await database.destroy();
  }
}
