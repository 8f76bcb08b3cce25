/** The class of what a server says it did (PostgreSQL §55.7, CommandComplete). */
import type { StatementClass } from '../policy/facts.js';

const byFirstWord: Readonly<Record<string, StatementClass>> = {
  SELECT: 'select',
  FETCH: 'select',
  MOVE: 'select',
  SHOW: 'show',
  EXPLAIN: 'explain',
  INSERT: 'insert',
  UPDATE: 'update',
  MERGE: 'update',
  DELETE: 'delete',
  CREATE: 'ddl',
  ALTER: 'ddl',
  DROP: 'ddl',
  TRUNCATE: 'ddl',
  COMMENT: 'ddl',
  REFRESH: 'ddl',
  SECURITY: 'ddl',
  IMPORT: 'ddl',
  GRANT: 'dcl',
  REVOKE: 'dcl',
  COPY: 'copy',
  CALL: 'call',
  DO: 'call',
  BEGIN: 'transaction',
  START: 'transaction',
  COMMIT: 'transaction',
  ROLLBACK: 'transaction',
  SAVEPOINT: 'transaction',
  RELEASE: 'transaction',
  SET: 'set',
  RESET: 'set',
  DISCARD: 'set',
};

/** @param command the tag without its counts */
export function classOfCommand(command: string): StatementClass {
  if (command === 'PREPARE TRANSACTION') return 'transaction';
  return byFirstWord[command.split(' ', 1)[0] ?? ''] ?? 'utility';
}
