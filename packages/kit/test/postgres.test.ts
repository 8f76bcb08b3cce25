import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql, type Kysely } from 'kysely';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import {
  createCoordination,
  createDatabase,
  databaseSchema,
  expectMigrated,
  migrate,
  prepareDatabase,
  type Coordination,
} from '../src/postgres/postgres.js';
import { createTestDatabase, startTestPostgres } from '../src/testing/testing.js';

interface Schema {
  counter: { name: string; value: number };
}

const logger = pino({ level: 'silent' });

interface Place {
  readonly database: Kysely<Schema>;
  /** Another replica's view of the same database. */
  replica(): { database: Kysely<Schema>; coordination: Coordination<Schema> };
  terminateListeners(): Promise<void>;
}

const places = {
  PGlite: async (stack: AsyncDisposableStack): Promise<Place> => {
    const test = stack.use(await createTestDatabase<Schema>());
    const coordination = stack.use(createCoordination({ database: test.database, logger }));
    return {
      database: test.database,
      replica: () => ({ database: test.database, coordination }),
      terminateListeners: async () => undefined,
    };
  },
  PostgreSQL: async (stack: AsyncDisposableStack): Promise<Place> => {
    const server = stack.use(await startTestPostgres());
    const database = createDatabase<Schema>({ url: server.url });
    stack.defer(async () => database.destroy());
    return {
      database,
      replica: () => {
        const own = createDatabase<Schema>({ url: server.url });
        stack.defer(async () => own.destroy());
        return {
          database: own,
          coordination: stack.use(createCoordination({ database: own, url: server.url, logger })),
        };
      },
      terminateListeners: async () =>
        void (await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gatehouse listen'`.execute(
          database,
        )),
    };
  },
};

describe.each(Object.keys(places) as (keyof typeof places)[])('on %s', (name) => {
  const stack = new AsyncDisposableStack();
  let place: Place;
  beforeAll(async () => {
    place = await places[name](stack);
    await sql`create table counter (name text primary key, value int8 not null)`.execute(
      place.database,
    );
  });
  afterAll(async () => stack.disposeAsync());

  async function folder(files: Record<string, string>): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), 'gatehouse-migrations-'));
    onTestFinished(async () => rm(path, { recursive: true, force: true }));
    for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text);
    return path;
  }

  it('gives each of many statements at once its own answer', async () => {
    const answers = await Promise.all(
      Array.from(
        { length: 300 },
        async (_, index) =>
          (await sql<{ a: number }>`select ${index}::int8 as a`.execute(place.database)).rows[0]?.a,
      ),
    );
    expect(answers).toEqual(Array.from({ length: 300 }, (_, index) => index));
  });

  it('refuses an int8 that a number cannot hold instead of rounding it', async () => {
    await expect(sql`select 9007199254740993::int8 as a`.execute(place.database)).rejects.toThrow(
      /beyond 2\^53/,
    );
    expect((await sql<{ a: number }>`select 1::int8 as a`.execute(place.database)).rows).toEqual([
      { a: 1 },
    ]);
  });

  it('runs each migration once when three replicas start together', async () => {
    const path = await folder({
      '0001_one.sql': 'create table one (a int); insert into one values (1);',
      '0002_two.sql': 'insert into one values (2); insert into one values (3);',
    });
    await Promise.all(
      [1, 2, 3].map(async () => migrate(place.database, { folder: path, name: 'first' })),
    );
    const { rows } = await sql<{ a: number }>`select a from one order by a`.execute(place.database);
    expect(rows.map((row) => row.a)).toEqual([1, 2, 3]);
  });

  it('rolls a failing migration back and names it', async () => {
    const path = await folder({
      '0001_good.sql': 'create table good (a int);',
      '0002_bad.sql': 'create table bad (a int); select nonsense;',
    });
    await expect(migrate(place.database, { folder: path, name: 'second' })).rejects.toMatchObject({
      code: 'MIGRATION_FAILED',
      details: { migration: '0002_bad' },
    });
    expect(
      (
        await sql<{ t: string | null }>`select to_regclass('bad')::text as t`.execute(
          place.database,
        )
      ).rows[0]?.t,
    ).toBeNull();
  });

  it('refuses two migrations with one number', async () => {
    const path = await folder({ '0001_a.sql': 'select 1', '0001_b.sql': 'select 1' });
    await expect(migrate(place.database, { folder: path, name: 'third' })).rejects.toMatchObject({
      details: { migration: 'unknown' },
    });
  });

  it('tells a service that may not migrate which migrations its database lacks', async () => {
    const path = await folder({
      '0001_early.sql': 'create table early (a int);',
      '0002_late.sql': 'create table late (a int);',
    });
    const options = { folder: path, name: 'fourth' };
    await expect(expectMigrated(place.database, options)).rejects.toMatchObject({
      code: 'MIGRATION_MISSING',
      details: { migrations: '0001_early, 0002_late' },
    });
    await migrate(place.database, options);
    await expectMigrated(place.database, options);
    // A release that is being replaced goes on while the next one has migrated already.
    await rm(join(path, '0002_late.sql'));
    await expectMigrated(place.database, options);
  });

  it('gives the service the rights that its grants list, and no right to change a table', async () => {
    const path = join(
      await folder({ 'grants.sql': 'grant select on kept to :role' }),
      'migrations',
    );
    await mkdir(path);
    await writeFile(join(path, '0001_kept.sql'), 'create table kept (a int);');
    await sql`create role served`.execute(place.database);
    await migrate(place.database, { folder: path, name: 'fifth', grantTo: 'served' });
    const asServed = async (statement: string) =>
      place.database.transaction().execute(async (transaction) => {
        await sql`set local role served`.execute(transaction);
        return sql.raw(statement).execute(transaction);
      });
    expect((await asServed('select a from kept')).rows).toEqual([]);
    await expect(asServed('insert into kept values (1)')).rejects.toThrow(/permission denied/);
    await expect(asServed('alter table kept add b int')).rejects.toThrow(/owner/);
  });

  it('lets one transaction at a time into a lock', async () => {
    await sql`insert into counter values ('locked', 0)`.execute(place.database);
    const replicas = [place.replica(), place.replica()];
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) =>
        replicas[index % 2]!.coordination.locked('increment', async ({ transaction }) => {
          const { value } = await transaction
            .selectFrom('counter')
            .select('value')
            .where('name', '=', 'locked')
            .executeTakeFirstOrThrow();
          await sleep(1);
          await transaction
            .updateTable('counter')
            .set({ value: value + 1 })
            .where('name', '=', 'locked')
            .execute();
        }),
      ),
    );
    expect(
      (
        await place.database
          .selectFrom('counter')
          .selectAll()
          .where('name', '=', 'locked')
          .execute()
      )[0]?.value,
    ).toBe(20);
  });

  it('lets one at a time be alone, with no transaction around what it does', async () => {
    const replicas = [place.replica(), place.replica()];
    let [inside, most] = [0, 0];
    await Promise.all(
      Array.from({ length: 6 }, async (_, index) =>
        replicas[index % 2]!.coordination.alone('alone', async () => {
          inside += 1;
          most = Math.max(most, inside);
          await sql`select 1`.execute(place.database);
          await sleep(5);
          inside -= 1;
        }),
      ),
    );
    expect(most).toBe(1);
  });

  it('tells another replica what was committed and nothing of what was rolled back', async () => {
    const [one, other] = [place.replica(), place.replica()];
    const heard: string[] = [];
    using _subscription = await other.coordination.listen('news', (payload) => heard.push(payload));
    await one.coordination
      .locked('news', async ({ notify }) => {
        await notify('news', 'never');
        throw new Error('no');
      })
      .catch(() => undefined);
    await one.coordination.locked('news', async ({ notify }) => notify('news', 'committed'));
    await one.coordination.notify('news', 'direct');
    await expect.poll(() => heard).toEqual(['committed', 'direct']);
  });

  // A connection that broke while it was used ended the whole process: each restart of the database did.
  (name === 'PostgreSQL' ? it : () => undefined)(
    'rejects what was under way on a connection that the server ended, and goes on',
    async () => {
      const { database } = place.replica();
      const end = async (pid: number) =>
        sql`select pg_terminate_backend(${pid}::int)`.execute(place.database);
      const between = database.transaction().execute(async (transaction) => {
        const { rows } = await sql<{
          pid: number;
        }>`select pg_backend_pid() as pid`.execute(transaction);
        await end(rows[0]?.pid ?? 0);
        await sleep(200);
        await sql`select 1`.execute(transaction);
      });
      await expect(between).rejects.toThrow();
      const asleep = sql`select pg_sleep(30)`.execute(database);
      const sleeper = async () =>
        sql<{
          pid: number;
        }>`select pid from pg_stat_activity where query = 'select pg_sleep(30)'`.execute(
          place.database,
        );
      await expect.poll(async () => (await sleeper()).rows.length).toBe(1);
      await Promise.all([
        expect(asleep).rejects.toThrow(),
        end((await sleeper()).rows[0]?.pid ?? 0),
      ]);
      // The server's word may be here before the end of the connection, which the next one then meets.
      const answers = async () => sql`select 1`.execute(database).then(Boolean, () => false);
      await expect.poll(answers).toBe(true);
    },
  );

  // PGlite has no connections to cut.
  (name === 'PostgreSQL' ? it : () => undefined)(
    'listens again after its connection was cut, and says that something may be missing',
    async () => {
      const { coordination } = place.replica();
      const heard: string[] = [];
      using _subscription = await coordination.listen('again', (payload) => heard.push(payload));
      await place.terminateListeners();
      await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['']);
      await coordination.notify('again', 'back');
      await expect.poll(() => heard).toEqual(['', 'back']);
    },
  );
});

it('gives a migration longer than a service gives a statement', async () => {
  await using server = await startTestPostgres();
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-migrations-'));
  onTestFinished(async () => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, '0001_slow.sql'), 'select pg_sleep(2); create table slow (a int);');
  const database = createDatabase({ url: server.url, statementTimeoutMs: 500 });
  onTestFinished(async () => database.destroy());
  const options = { folder: dir, name: 'slow', settings: databaseSchema.parse({}) };
  await prepareDatabase(database, { ...options, url: server.url });
  await expectMigrated(database, options);
});

it('says that it will pass where no server answers, and no such thing of a wrong user', async () => {
  const away = createDatabase<Schema>({ url: 'postgres://postgres@127.0.0.1:1/postgres' });
  onTestFinished(async () => away.destroy());
  const unavailable = { code: 'DATABASE_UNAVAILABLE', kind: 'unavailable' };
  await expect(sql`select 1`.execute(away)).rejects.toMatchObject(unavailable);
  await using server = await startTestPostgres();
  const wrong = createDatabase<Schema>({ url: server.url.replace('//postgres@', '//nobody@') });
  onTestFinished(async () => wrong.destroy());
  await expect(sql`select 1`.execute(wrong)).rejects.toMatchObject({ code: '28000' });
});

describe('a server that is no more what it was', () => {
  const message = (type: string, body: Buffer = Buffer.alloc(0)) => {
    const head = Buffer.alloc(5);
    head.write(type);
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const ready = message('Z', Buffer.from('I'));

  /** Lets clients in and answers what they say by `answer`. */
  async function startFake(answer: (socket: Socket, connection: number) => void) {
    const open = new Set<Socket>();
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      const number = connections;
      open.add(socket);
      socket.on('error', () => undefined).on('close', () => open.delete(socket));
      socket.once('data', () => {
        socket.write(Buffer.concat([message('R', Buffer.alloc(4)), ready]));
        socket.on('data', () => answer(socket, number));
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => {
      for (const socket of open) socket.destroy();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return { url: `postgres://u@127.0.0.1:${port}/d`, open, count: () => connections };
  }

  // A host that is gone without a word was waited for by everything, for a quarter of an hour.
  it('is waited for a little longer than it may take for a statement', async () => {
    const server = await startFake(() => undefined);
    const database = createDatabase({ url: server.url, statementTimeoutMs: 200 });
    onTestFinished(async () => database.destroy());
    await expect(sql`select 1`.execute(database)).rejects.toThrow('silent');
  });

  // A standby refuses LISTEN; each try left a connection behind.
  it('is left with no connection when it refuses to be listened to', async () => {
    const refusal = Buffer.from('SERROR\0C25006\0Mcannot execute LISTEN during recovery\0\0');
    const server = await startFake((socket, connection) => {
      const answer =
        connection === 1 ? message('C', Buffer.from('LISTEN\0')) : message('E', refusal);
      socket.write(Buffer.concat([answer, ready]));
      if (connection === 1) socket.end();
    });
    const database = createDatabase({ url: server.url });
    const coordination = createCoordination({ database, url: server.url, logger });
    onTestFinished(async () => coordination[Symbol.asyncDispose]());
    await coordination.listen('news', () => undefined);
    await expect.poll(() => server.count(), { timeout: 15_000 }).toBeGreaterThan(4);
    await expect.poll(() => server.open.size).toBeLessThan(2);
  });
});

describe('settings', () => {
  it('refuses both kinds of address together, neither, and a socket of another name', () => {
    for (const options of [
      {},
      { url: 'postgres://x', socketPath: '/x/.s.PGSQL.1' },
      { socketPath: '/x/y' },
    ]) {
      expect(() => createDatabase(options)).toThrow(
        expect.objectContaining({ code: 'DATABASE_SETTINGS' }),
      );
    }
  });
});
