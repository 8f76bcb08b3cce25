import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { serveSingleSession, type SessionServer } from './session-server.js';

describe('serveSingleSession', () => {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-session-'));
  let engine: PGlite;
  let server: SessionServer;
  const client = async () => {
    const made = new pg.Client({ host: dir, port: 5432, user: 'postgres', database: 'postgres' });
    made.on('error', () => undefined);
    await made.connect();
    return made;
  };
  beforeAll(async () => {
    engine = await PGlite.create();
    server = await serveSingleSession({
      engine,
      path: join(dir, '.s.PGSQL.5432'),
      maxConnections: 20,
      idleTurnMs: 500,
    });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await engine.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('keeps parameters of clients apart however their messages interleave', async () => {
    const clients = await Promise.all(Array.from({ length: 10 }, client));
    const asked = clients.flatMap((one, n) =>
      Array.from({ length: 30 }, async (_none, step) => {
        const count = 1 + ((n + step) % 5);
        const values = Array.from({ length: count }, (_value, at) => `${n}-${step}-${at}`);
        const columns = values.map((_value, at) => `$${at + 1}::text as c${at}`).join(', ');
        const { rows } = await one.query<Record<string, string>>(`select ${columns}`, values);
        expect(Object.values(rows[0] ?? {})).toEqual(values);
      }),
    );
    await Promise.all(asked);
    await Promise.all(clients.map(async (one) => one.end()));
  });

  it('carries large values whole beside small ones', async () => {
    const [large, small] = [await client(), await client()];
    const bytes = randomBytes(3 << 20);
    const back = large.query<{ b: Buffer }>('select $1::bytea as b', [bytes]);
    for (let n = 0; n < 20; n += 1)
      expect((await small.query<{ n: number }>('select $1::int as n', [n])).rows[0]?.n).toBe(n);
    expect((await back).rows[0]?.b.equals(bytes)).toBe(true);
    await Promise.all([large.end(), small.end()]);
  });

  it('gives a transaction the engine to itself, and rolls back what a lost client left open', async () => {
    const [first, second] = [await client(), await client()];
    await first.query('create table t (n int)');
    await first.query('begin');
    await first.query('insert into t values (1)');
    const waiting = second.query<{ n: string }>('select count(*) as n from t');
    await new Promise((resolve) => setTimeout(resolve, 100));
    await first.query('commit');
    expect(Number((await waiting).rows[0]?.n)).toBe(1);
    await first.query('begin');
    await first.query('insert into t values (2)');
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the driver's own socket, to cut it
    (
      first as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
    expect(
      Number((await second.query<{ n: string }>('select count(*) as n from t')).rows[0]?.n),
    ).toBe(1);
    await second.end();
  });

  it('goes on after a failed query, in extended and in simple form', async () => {
    const one = await client();
    await expect(one.query('select $1::int', ['x'])).rejects.toThrow();
    await expect(one.query('nonsense')).rejects.toThrow();
    expect((await one.query<{ n: number }>('select 1 as n')).rows[0]?.n).toBe(1);
    await one.end();
  });

  it('takes the turn from a client that says nothing more in the middle of a transaction', async () => {
    const [silent, other] = [await client(), await client()];
    await silent.query('begin');
    expect((await other.query<{ n: number }>('select 1 as n')).rows[0]?.n).toBe(1);
    await other.end();
  });

  it('closes noise, and refuses more clients than it has room for', async () => {
    const noise = connect(join(dir, '.s.PGSQL.5432'));
    noise.on('error', () => undefined);
    const closed = new Promise((resolve) => noise.once('close', resolve));
    noise.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await closed;
    const crowd = await Promise.allSettled(Array.from({ length: 30 }, client));
    const inside = crowd.filter((result) => result.status === 'fulfilled');
    expect(inside.length).toBeLessThanOrEqual(20);
    await Promise.all(inside.map(async (result) => result.value.end()));
    const again = await client();
    await again.end();
  });
});
