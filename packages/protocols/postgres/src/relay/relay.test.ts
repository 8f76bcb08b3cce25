import { duplexPair } from 'node:stream';

import type { Session, SessionEvent } from '@gatehouse/protocol-api';
import { expect, it } from 'vitest';

import { createStatementParser } from '../policy/parse.js';
import { client, frame, server } from '../testing.js';
import { Relay } from './relay.js';

/** A relay between a client and a server that are played by hand. */
function open({ audit = 'best_effort' } = {}) {
  let pace: PromiseWithResolvers<void> | undefined;
  let free = 0;
  const lost = { events: 0 };
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
    pace() {
      free -= 1;
      return free < 0 ? pace?.promise : undefined;
    },
    get droppedEvents() {
      return lost.events;
    },
  } as unknown as Session;
  const got: Buffer[] = [];
  serverEnd.on('data', (chunk: Buffer) => got.push(chunk));
  const heard: Buffer[] = [];
  clientEnd.on('data', (chunk: Buffer) => heard.push(chunk));
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
    lost,
    /** All that the client has got. */
    heard: () => Buffer.concat(heard).toString('latin1'),
    /** Has the audit filled up, after so many messages more, until the function that it gives is called. */
    fillAudit(after = 0) {
      free = after;
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

it('takes no message more of either side while the audit fills up with what one of them does', async () => {
  const relay = open();
  await relay.received();
  const makeRoom = relay.fillAudit(1);
  relay.client.write(Buffer.concat([client.query('select 1'), client.query('select 2')]));
  expect(await relay.received()).toEqual(client.query('select 1'));
  const answer = Buffer.concat([server.commandComplete('SELECT 1'), server.ready()]);
  relay.server.write(answer);
  relay.client.write(client.query('select 3'));
  expect(await relay.received()).toHaveLength(0);
  expect(relay.told).toEqual([]);
  makeRoom();
  const rest = Buffer.concat([client.query('select 2'), client.query('select 3')]);
  expect(await relay.received()).toEqual(rest);
  expect(relay.told).toEqual(['executed select 1']);
  const makeRoomAgain = relay.fillAudit(2);
  relay.server.write(Buffer.concat([answer, answer]));
  await relay.received();
  expect(relay.told).toEqual(['executed select 1', 'executed select 2']);
  makeRoomAgain();
  await relay.received();
  expect(relay.told.at(-1)).toBe('executed select 3');
  relay.fillAudit();
  relay.client.write(client.query('select 4'));
  expect(await relay.received()).toHaveLength(0);
  relay.ends.abort({ reason: 'lock', message: 'locked' });
  expect(await relay.over).toBe('lock');
});

it('hears the end of either side while it waits for the audit', async () => {
  const left = open();
  await left.received();
  left.fillAudit();
  left.client.end(client.query('select 1'));
  let isTold = false;
  left.server.once('end', () => (isTold = true));
  expect(await left.received()).toHaveLength(0);
  expect(isTold).toBe(true);
  left.server.end();
  expect(await left.over).toBe('client_gone');
  const ended = open();
  await ended.received();
  ended.client.write(client.query('select 1'));
  await ended.received();
  ended.fillAudit();
  ended.server.end(server.error('57P01', 'shutting down', 'FATAL'));
  expect(await ended.over).toBe('target_closed');
  expect(ended.heard()).toContain('shutting down');
  expect(ended.told[0]).toBe('executed select 1 error');
});

it('reads no more than it must of a side that waits for the audit', async () => {
  const relay = open();
  await relay.received();
  const makeRoom = relay.fillAudit();
  const texts = Array.from({ length: 2_000 }, (_, index) =>
    client.query(`select ${index}${' '.repeat(200)}`),
  );
  let sent = 0;
  for (const text of texts) {
    sent += 1;
    if (!relay.client.write(text)) break;
  }
  await relay.received();
  while (sent < texts.length && relay.client.write(texts[sent] ?? '')) sent += 1;
  expect(sent).toBeLessThan(texts.length);
  makeRoom();
  expect((await relay.received()).length).toBeGreaterThan(64 * 1024);
  relay.client.destroy();
});

it('has nothing under way once a Bind is answered that nothing executes', async () => {
  const relay = open();
  await relay.received();
  relay.client.write(
    Buffer.concat([client.parse('', 'select 1'), client.bind('', ''), client.flush]),
  );
  await relay.received();
  expect(relay.told).toEqual([]);
  relay.server.write(Buffer.concat([frame('1'), frame('2')]));
  await relay.received();
  expect(relay.told).toEqual(['prepared select 1']);
  relay.client.write(Buffer.concat([client.execute(''), client.sync]));
  await relay.received();
  relay.server.write(Buffer.concat([server.commandComplete('SELECT 1'), server.ready()]));
  await relay.received();
  expect(relay.told).toEqual(['prepared select 1', 'executed select 1']);
  relay.client.destroy();
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
  expect(relay.told.splice(0)).toEqual([`executed ${text}`, `executed ${text.slice(0, 518)}`]);
  // The event that had it may be one that was dropped.
  relay.lost.events = 1;
  for (const expected of [text, text.slice(0, 518)]) {
    relay.client.write(Buffer.concat([...run, client.sync]));
    await relay.received();
    relay.server.write(Buffer.concat([...done, server.ready()]));
    await relay.received();
    expect(relay.told.splice(0)).toEqual([`executed ${expected}`]);
  }
  relay.client.destroy();
});
