/**
 * The one way to write: `change` for whatever watchers must hear of and for what no change may overtake, `record` for the
 * rest. Audit events and outbox rows are part of the same transaction as what they tell of (D24, D27).
 */
import type { Clock } from '@gatehouse/kit/clock';
import type { Coordination } from '@gatehouse/kit/postgres';
import type { Kysely, Transaction } from 'kysely';

import type { JsonObject, Tables } from './tables.js';

/** The database or a transaction on it. */
export type Db = Kysely<Tables>;

/** An audit event as it lies in the table until the log has it. */
export interface AuditRow {
  /** The log's key (D25): session, else login, agent, user, cluster. */
  readonly logKey: string;
  /** The whole event as JSON text. */
  readonly event: string;
}

/** A change for watchers. `body` undefined: gone. */
export interface OutboxRow {
  readonly kind: string;
  readonly name: string;
  readonly body?: JsonObject;
}

/** A transaction that writes audit events. */
export interface RecordScope {
  readonly tx: Transaction<Tables>;
  readonly now: Date;
  audit(row: AuditRow): void;
}

/** A transaction that also tells watchers. It holds the outbox lock, so keep it short. */
export interface ChangeScope extends RecordScope {
  publish(row: OutboxRow): void;
}

/** A statement holds at most 65 535 parameters. */
const maxInsertRows = 1_000;

export const outboxChannel = 'auth_outbox';
export const auditChannel = 'auth_audit';

export interface Store {
  readonly database: Db;
  readonly coordination: Coordination<Tables>;
  /** A transaction under the outbox lock: rows get their ids in the order of commits. Inside, use `scope.tx` only. */
  change<T>(work: (scope: ChangeScope) => Promise<T>): Promise<T>;
  /** A transaction that changes nothing that is watched, and may run beside changes. */
  record<T>(work: (scope: RecordScope) => Promise<T>): Promise<T>;
}

export interface StoreOptions {
  readonly database: Db;
  readonly coordination: Coordination<Tables>;
  readonly clock: Clock;
}

export function createStore({ database, coordination, clock }: StoreOptions): Store {
  return {
    database,
    coordination,
    async change(work) {
      return coordination.locked('auth_outbox', async ({ transaction, notify }) => {
        const { scope, audits, changes } = createScope(transaction, new Date(clock.now()));
        const result = await work(scope);
        await insertAudits(transaction, audits, scope.now);
        await insertChanges(transaction, changes, scope.now);
        if (changes.length > 0) await notify(outboxChannel);
        if (audits.length > 0) await notify(auditChannel);
        return result;
      });
    },
    async record(work) {
      const { result, count } = await database.transaction().execute(async (transaction) => {
        const { scope, audits } = createScope(transaction, new Date(clock.now()));
        const done = await work(scope);
        await insertAudits(transaction, audits, scope.now);
        return { result: done, count: audits.length };
      });
      if (count > 0) await coordination.notify(auditChannel);
      return result;
    },
  };
}

function createScope(tx: Transaction<Tables>, now: Date) {
  const audits: AuditRow[] = [];
  const changes: OutboxRow[] = [];
  const scope: ChangeScope = {
    tx,
    now,
    audit: (row) => {
      audits.push(row);
    },
    publish: (row) => {
      changes.push(row);
    },
  };
  return { scope, audits, changes };
}

async function insertAudits(
  tx: Transaction<Tables>,
  rows: readonly AuditRow[],
  now: Date,
): Promise<void> {
  if (rows.length === 0) return;
  const values = rows.map(({ logKey, event }) => ({ log_key: logKey, event, created_at: now }));
  await tx.insertInto('audit_row').values(values).execute();
}

async function insertChanges(
  tx: Transaction<Tables>,
  rows: readonly OutboxRow[],
  now: Date,
): Promise<void> {
  // Rows of one statement take their ids in its order, which is that in which they were published.
  for (let from = 0; from < rows.length; from += maxInsertRows) {
    const values = rows.slice(from, from + maxInsertRows).map(({ kind, name, body }) => ({
      kind,
      name,
      body: body === undefined ? null : JSON.stringify(body),
      created_at: now,
    }));
    await tx.insertInto('outbox').values(values).execute();
  }
}
