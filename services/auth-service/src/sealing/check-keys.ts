/** A wrong key-encryption key is found before anything is written (CRT-09). */
import { authError } from '../errors.js';
import { insertSealingCheck, readSealingChecks } from '../store/cluster.js';
import type { Db } from '../store/store.js';
import type { Keyring, SealPlace } from './keyring.js';

const constant = Buffer.from('gatehouse');

/**
 * Compares the keyring with what the database was sealed with; reads only. A database that is empty takes any key.
 * @throws KEK_MISMATCH
 */
export async function checkKeyring(db: Db, keyring: Keyring): Promise<void> {
  const checks = await readSealingChecks(db);
  if (checks === undefined) return;
  for (const [keyId, value] of checks) {
    if (!keyring.hasKey(keyId))
      throw authError('KEK_MISMATCH', {
        message: `key-encryption key does not match: no key ${keyId}`,
      });
    try {
      if (!keyring.open(place(keyId), value).equals(constant)) throw authError('SEAL_BROKEN');
    } catch (thrown) {
      throw authError('KEK_MISMATCH', { cause: thrown });
    }
  }
}

/** Notes the active key, so that later starts find a wrong one. */
export async function noteActiveKey(db: Db, keyring: Keyring, now: Date): Promise<void> {
  const { activeKeyId } = keyring;
  await insertSealingCheck(db, {
    keyId: activeKeyId,
    value: keyring.seal(place(activeKeyId), constant),
    now,
  });
}

function place(keyId: string): SealPlace {
  return { table: 'sealing_key', column: 'check_value', row: keyId };
}
