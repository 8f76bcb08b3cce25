/** Several reads that see one state. */
import type { Db } from './store.js';

/** Runs reads in one transaction that sees the database as of its first statement. */
export async function readConsistently<T>(db: Db, work: (tx: Db) => Promise<T>): Promise<T> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => work(tx));
}
