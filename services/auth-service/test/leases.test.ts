import { join } from 'node:path';

import { createId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { migrate } from '@gatehouse/kit/postgres';
import { describe, expect, it, onTestFinished } from 'vitest';

import { createLeaseSweep } from '../src/sessions/live-sessions.js';
import { insertSessions, listSessions, putLease } from '../src/store/live-sessions.js';
import { ageLeases } from '../src/store/testing.js';
import { createTestStore, engines } from './support.js';

describe.each(engines)('leases of proxies on %s', (engine) => {
  /** A proxy with one session, and a sweep; monotonic time is `clock.passedMs`. */
  async function start() {
    const store = await createTestStore(engine);
    onTestFinished(async () => store[Symbol.asyncDispose]());
    const { database } = store;
    await migrate(database, { folder: join(import.meta.dirname, '../migrations'), name: 'auth' });
    const clock = { passedMs: 0, wallMs: Date.now() };
    const sweep = createLeaseSweep({
      store: { database },
      clock: { now: () => clock.wallMs, monotonic: () => clock.passedMs },
      logger: createLogger({ name: 'test', level: 'silent' }),
    });
    const session = {
      id: createId('ses'),
      replicaId: createId('srv'),
      protocol: 'ssh',
      user: 'ada',
      targetKind: 'node',
      target: 'web-1',
      principal: 'deploy',
      loginId: createId('lgn'),
      clientAddress: '192.0.2.1:5',
      startedAt: new Date(),
    };
    await sweep();
    await putLease(database, { replicaId: session.replicaId, kind: 'proxy', ms: 20_000 });
    await insertSessions(database, [session]);
    const count = async () => (await listSessions(database)).length;
    return { clock, database, sweep, count };
  }

  it('end with their sessions where nobody renews them', async () => {
    const { database, sweep, count } = await start();
    await ageLeases(database, 30_000);
    await sweep();
    expect(await count()).toBe(0);
  });

  // A clock that was set forward by 30 s ended every session of the cluster.
  it('do not end by a clock that is set, of a replica or of the database', async () => {
    const { clock, database, sweep, count } = await start();
    clock.wallMs += 60_000;
    await sweep();
    expect(await count()).toBe(1);
    // As if the database's clock had gone 30 s ahead of the time that has passed.
    clock.passedMs -= 30_000;
    await ageLeases(database, 30_000);
    await sweep();
    expect(await count()).toBe(1);
  });
});
