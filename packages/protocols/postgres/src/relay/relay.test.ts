import { duplexPair } from 'node:stream';

import type { Session, SessionEvent } from '@gatehouse/protocol-api';
import { expect, it } from 'vitest';

import { createStatementParser } from '../policy/parse.js';
import { client, frame, server } from '../testing.js';
import { Relay } from './relay.js';

/** A relay between a client and a server that are played by hand. */
function open({ audit = 'best_effort' } = {}) {
  let pace: PromiseWithResolvers<void> | undefined;
  const [clientEnd, clientSide] = duplexPair();
  const [serverSide, serverEnd] = duplexPair();
  const told: string[] = [];
  const ends = new AbortController();
  const tell = ({ type, data, reason }: SessionEvent) =>
    told.push(
      `${type.replace('db.statement_', '')} ${String(data['statement'])} ${reason ?? ''}`.trim(),
    );
  const session = {
    options: { dbBindValues: false, audit },
    statements: { allow: [{ role: 'r', statements: undefined, tables: undefined }], deny: [] },
    signal: ends.signal,
    cut: ends.signal,
    target: { name: 'pg-1' },
    emit: tell,
    announce: (event: SessionEvent) => ({
      acknowledged: audit === 'strict' ? new Promise(() => undefined) : undefined,
      finish: tell,
      abandon: (reason: string) =>
        told.push(`${String(event.data['statement'])} abandoned: ${reason}`),
    }),
    record: () => ({ output: () => undefined }),
    pace: () => pace?.promise,
  } as unknown as Session;
  const got: Buffer[] = [];
  serverEnd.on('data', (chunk: Buffer) => got.push(chunk));
  clientEnd.resume();
  const over = new Relay({
    session,
    client: clientSide,
    target: serverSide,
    database: 'app',
    parser: createStatementParser(),
    exchangeKey: (key) => key,
  }).run();
  serverEnd.write(server.ready());
  const turn = async () => new Promise((resolve) => setTimeout(resolve, 20));
  return {
    told,
    over,
    ends,
    server: serverEnd,
    client: clientEnd,
    /** Has the audit filled up until the function that it gives is called. */
    fillAudit() {
      pace = Promise.withResolvers();
      return () => {
        pace?.resolve();
        pace = undefined;
      };
    },
    /** What the server has got since the last time. */
    async received(): Promise<Buffer> {
      await turn();
      return Buffer.concat(got.splice(0));
    },
  };
}

it('asks a server for answers that it holds back, but never in the middle of a message', async () => {
  const relay = open();
  await relay.received();
  const describe = client.describe('S', 'name');
  const before = Buffer.concat([
    client.query('select 1'),
    ...Array.from({ length: 4_094 }, () => client.sync),
  ]);
  relay.client.write(before);
  expect((await relay.received()).equals(before)).toBe(true);
  // Its head alone is the entry with which the pipeline is full.
  relay.client.write(describe.subarray(0, 5));
  relay.client.write(describe.subarray(5));
  const received = await relay.received();
  expect(received.toString('latin1')).toBe(
    Buffer.concat([describe, client.flush]).toString('latin1'),
  );
  relay.client.destroy();
});

it('says of a strict statement that the event log has not acknowledged at the end that nothing came of it', async () => {
  const relay = open({ audit: 'strict' });
  await relay.received();
  relay.client.write(client.query('select 1'));
  expect(await relay.received()).toHaveLength(0);
  relay.server.destroy();
  await relay.over;
  expect(relay.told).toEqual(['select 1 abandoned: target_closed']);
});

it('tells what was running of several statements when the connection is lost, and of one that was answered that it was', async () => {
  for (const [text, last] of [
    [
      'select 1; select pg_sleep(9)',
      [
        'executed select 1; select pg_sleep(9)',
        'executed select 1; select pg_sleep(9) target_closed',
      ],
    ],
    ["select ';'", ["executed select ';'"]],
  ] as const) {
    const relay = open();
    await relay.received();
    relay.client.write(client.query(text));
    await relay.received();
    relay.server.write(server.commandComplete('SELECT 1'));
    await relay.received();
    expect(relay.told).toEqual([]);
    relay.server.destroy();
    await relay.over;
    expect(relay.told).toEqual(last);
  }
});

it('reads neither side while the audit fills up with what one of them does', async () => {
  const relay = open();
  await relay.received();
  const makeRoom = relay.fillAudit();
  relay.client.write(client.query('select 1'));
  expect((await relay.received()).toString()).toContain('select 1');
  relay.client.write(client.query('select 2'));
  relay.server.write(Buffer.concat([server.commandComplete('SELECT 1'), server.ready()]));
  expect(await relay.received()).toHaveLength(0);
  expect(relay.told).toEqual([]);
  makeRoom();
  expect((await relay.received()).toString()).toContain('select 2');
  expect(relay.told).toEqual(['executed select 1']);
  relay.fillAudit();
  relay.client.write(client.query('select 3'));
  await relay.received();
  relay.ends.abort({ reason: 'lock', message: 'locked' });
  expect(await relay.over).toBe('lock');
});

it('tells a long text once, and afterwards its beginning', async () => {
  const relay = open();
  await relay.received();
  const text = `select 1 -- ${'é'.repeat(2000)}`;
  const run = [client.bind('', ''), client.execute('')];
  const bytes = Buffer.from(text).toString('latin1');
  relay.client.write(Buffer.concat([client.parse('', bytes), ...run, ...run, client.sync]));
  await relay.received();
  const done = [frame('2'), server.commandComplete('SELECT 1')];
  relay.server.write(Buffer.concat([frame('1'), ...done, ...done, server.ready()]));
  await relay.received();
  expect(relay.told).toEqual([`executed ${text}`, `executed ${text.slice(0, 518)}`]);
  relay.client.destroy();
});
