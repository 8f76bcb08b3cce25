/** A PostgreSQL server as a target of the standing environment, and people who may use it. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { TargetDatabase } from '../servers/target-database.js';
import { joinAgent } from './agent.js';
import type { Installation } from './installation.js';
import type { World } from './world.js';

const role = (name: string, allow: object, options: object = {}) => ({
  kind: 'role',
  version: 'v1',
  metadata: { name },
  spec: { options, allow: { db_labels: { env: 'staging' }, ...allow } },
});

export const databaseRoles = [
  role('db-reader', { db_users: ['reader'], db_names: ['app'] }),
  role('db-owner', { db_users: ['owner', 'bench', 'certified'], db_names: ['app', 'bench'] }),
  role('dba', {
    db_users: ['owner'],
    db_names: ['app'],
    db_statements: ['select', 'show', 'explain'],
  }),
  role('db-values', { db_users: ['owner'], db_names: ['app'] }, { db_bind_values: true }),
  role('db-strict', { db_users: ['owner'], db_names: ['app'] }, { audit: 'strict' }),
];

/** Starts the server, and an agent that has it as `pg-1`. */
export async function addDatabase(
  world: World<Installation>,
  settings: readonly string[] = [],
): Promise<TargetDatabase> {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-database-'));
  // Its server runs as another OS user.
  chmodSync(dir, 0o755);
  const database = new TargetDatabase(join(dir, 'server'));
  await database.start(settings);
  const { spec } = database;
  const target = { kind: 'database', name: 'pg-1', labels: { env: 'staging' }, spec };
  world.agents.set('pg', await joinAgent(world.ada, 'pg', [target]));
  return Object.assign(database, {
    async [Symbol.asyncDispose]() {
      await TargetDatabase.prototype[Symbol.asyncDispose].call(database);
      rmSync(dir, { recursive: true, force: true });
    },
  });
}
