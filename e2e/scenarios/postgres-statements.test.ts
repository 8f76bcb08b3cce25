/** The table of statements (PG-10) through a server: each decided as it is written there, prepared as at once. */
import { evasions, fixturePolicies, plainStatements } from '@gatehouse/protocol-postgres/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { TargetDatabase } from '../servers/target-database.js';
import { DatabasePerson } from '../stack/database-client.js';
import { addDatabase } from '../stack/database-world.js';
import { exportEvents } from '../stack/events.js';
import { createWorld, type World } from '../stack/world.js';

describe('PostgreSQL', () => {
  let world: World;
  let database: TargetDatabase;
  beforeAll(async () => {
    world = await createWorld({ only: 'staging' });
    database = await addDatabase(world);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });

  describe('with the policies of the table of statements (PG-10)', () => {
    const table = [...plainStatements, ...evasions];
    const policies = Object.entries(fixturePolicies);
    const entries = (
      rules: (typeof fixturePolicies)[keyof typeof fixturePolicies]['deny' | 'allow'],
    ) =>
      rules.map(({ role, statements, tables }) => ({ name: `table-${role}`, statements, tables }));
    const people: DatabasePerson[] = [];
    beforeAll(async () => {
      const where = { db_labels: { env: 'staging' }, db_users: ['owner'], db_names: ['app'] };
      for (const [policy, { allow, deny }] of policies) {
        const blocks = [
          ...entries(allow).map((entry) => ({ ...entry, block: 'allow' })),
          ...entries(deny).map((entry, index) => ({
            ...entry,
            block: 'deny',
            name: `${entry.name}-${index}`,
          })),
        ];
        const roles = blocks.map(({ name, statements, tables, block }) => ({
          kind: 'role',
          version: 'v1',
          metadata: { name },
          spec: {
            [block]: {
              ...where,
              ...(statements === undefined ? {} : { db_statements: statements }),
              ...(tables === undefined ? {} : { db_tables: tables }),
            },
          },
        }));
        await world.apply(...roles);
        const person = await world.add(
          `table-${policy.toLowerCase()}`,
          blocks.map(({ name }) => name),
        );
        const flags = ['--db-user', 'owner', '--db-name', 'app'];
        people.push(await DatabasePerson.login(person, 'pg-1', flags));
      }
    }, 60_000);

    /** What each statement is refused with; undefined where the server itself answered. */
    const refusals = async (
      person: DatabasePerson,
      index: number,
      queryMode: 'simple' | 'extended',
    ) => {
      const told: (string | undefined)[] = [];
      let client = await person.connect();
      const reconnect = async () => {
        await client.end().catch(() => undefined);
        client = await person.connect();
      };
      for (const [text, , verdicts] of table) {
        // What was prepared is known until the connection ends.
        if (verdicts[index] === 'p') await reconnect();
        const query = { text, queryMode };
        const thrown: unknown = await client.query(query).catch((error: unknown) => error);
        const { message = '' } = thrown instanceof Error ? thrown : {};
        told.push(message.startsWith('denied: ') ? message : undefined);
        // What it left behind does not count for the next one.
        await client.query('rollback').catch(() => undefined);
        const isClean = await client.query('discard all').then(
          () => true,
          () => false,
        );
        if (!isClean) await reconnect();
      }
      await client.end();
      return told;
    };

    it.each(policies.map(([policy], index) => [policy, index] as const))(
      'decides each as it is written there, and prepared as at once: %s',
      async (_, index) => {
        const person = people[index];
        if (person === undefined) throw new Error('nobody');
        const from = new Date().toISOString();
        const [simple, extended] = await Promise.all([
          refusals(person, index, 'simple'),
          refusals(person, index, 'extended'),
        ]);
        const expected = table.map(([text, , letters]) => [
          text.slice(0, 200),
          letters[index] !== 'o',
        ]);
        const decided = (told: (string | undefined)[]) =>
          table.map(([text], place) => [text.slice(0, 200), told[place] !== undefined]);
        expect(decided(simple)).toEqual(expected);
        expect(extended).toEqual(simple);
        const refused = simple.filter((message) => message !== undefined).length;
        const user = person.person.name;
        const told = await exportEvents(world.ada, { type: 'db.statement_denied', user, from });
        expect(told).toHaveLength(2 * refused);
      },
      240_000,
    );
  });
});
