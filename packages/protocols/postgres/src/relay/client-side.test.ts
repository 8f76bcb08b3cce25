import { Writable } from 'node:stream';

import type { Session, SessionEvent } from '@gatehouse/protocol-api';
import { expect, it } from 'vitest';

import { createStatementParser } from '../policy/parse.js';
import { PolicyGate } from '../policy/policy-gate.js';
import { client, frame, server } from '../testing.js';
import { MessageReader } from '../wire/message-reader.js';
import { backendLimits, createTypeTable } from '../wire/message-types.js';
import { ClientSide } from './client-side.js';
import { Output } from './output.js';
import { Pipeline, pipelineBackendTypes } from './pipeline.js';
import { StatementLog, type Note } from './statement-log.js';

const select = { role: 'reader', statements: ['select'], tables: undefined };

/** What the server is sent and the audit is told, with a role for everything or for reading only. */
function open({ isRestricted = false, audit = 'best_effort' } = {}) {
  const {
    promise: acknowledged,
    resolve: acknowledge,
    reject: loseAudit,
  } = Promise.withResolvers<void>();
  const sent: Buffer[] = [];
  const told: string[] = [];
  const tell = ({ type, data }: SessionEvent) =>
    told.push(`${type.replace('db.statement_', '')} ${String(data['statement'])}`);
  const session = {
    identity: { user: 'ada' },
    options: { dbBindValues: false, audit },
    statements: {
      allow: isRestricted ? [select] : [{ ...select, statements: undefined }],
      deny: [],
    },
    emit: tell,
    announce: (event: SessionEvent) => {
      tell(event);
      return {
        acknowledged: audit === 'strict' ? acknowledged : undefined,
        finish: tell,
        abandon: () => undefined,
      };
    },
  } as unknown as Session;
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      sent.push(chunk);
      done();
    },
  });
  const log = new StatementLog(session, 'app');
  const pipeline = new Pipeline<Note>({
    finished: (execution, outcome) => log.finished(execution, outcome),
    ended: (execution) => log.ended(execution),
    skipped: (execution) => log.skipped(execution),
    rebound: ({ statement }, portal) => log.prepared(statement, { portal }),
    commitFailed: (error) => log.commitFailed(error),
  });
  const gate = new PolicyGate(session, createStatementParser());
  const side = new ClientSide({
    session,
    pipeline,
    gate,
    log,
    output: new Output(stream as never),
    mayGoOn: () => true,
  });
  const back = new MessageReader({
    limits: backendLimits,
    wholeBytes: createTypeTable(pipelineBackendTypes),
  });
  const answer = (...messages: readonly Buffer[]) => {
    back.push(Buffer.concat(messages));
    for (let piece = back.next(); piece !== undefined; piece = back.next())
      if (piece.kind === 'run') pipeline.passed(piece);
      else pipeline.receive(piece);
    side.answered();
  };
  answer(server.ready());
  /** What reaches the server of these messages. */
  const send = async (...messages: readonly Buffer[]): Promise<string> => {
    sent.length = 0;
    side.push(Buffer.concat(messages));
    for (let wait = side.advance(); wait !== undefined; wait = side.advance()) await wait;
    return Buffer.concat(sent).toString('latin1');
  };
  const end = () => side.end('client_gone');
  return { told, answer, send, end, acknowledge, loseAudit };
}

it('sends nothing on that a server throws away, so that a server that does not runs nothing untold', async () => {
  const { send, answer, told } = open();
  await send(client.parse('', 'selec'), client.sync);
  answer(server.error('42601'));
  expect(await send(client.parse('', 'selec'), client.sync)).toContain('selec');
  answer(server.ready(), server.error('42601'), server.ready());
  await send(client.parse('', 'selec'), client.flush);
  answer(server.error('42601'));
  const behind = [
    client.query('drop table a'),
    client.query(`drop table ${'a'.repeat(9_000_000)}`),
    client.parse('p', 'drop table b'),
    client.bind('', 'p'),
    client.execute(''),
    client.functionCall(1),
  ];
  expect(await send(...behind)).toBe('');
  expect(await send(client.sync)).toBe(client.sync.toString('latin1'));
  expect(told.filter((one) => one.includes('drop'))).toEqual([]);
  answer(server.ready());
  expect(await send(client.query('drop table c'))).toContain('drop table c');
  expect(told.at(-1)).toBe('started drop table c');
});

it('sends nothing on behind a refused Parse, also where the server was reading COPY data', async () => {
  const { send } = open({ isRestricted: true });
  const sent = await send(client.parse('p', 'drop table a'), client.query('drop table a'));
  expect(sent).toContain('refused by Gatehouse');
  expect(sent).not.toContain('drop table');
});

it('sends on no statement before which something failed while it was judged', async () => {
  const { send, answer } = open({ isRestricted: true });
  await send(client.parse('', 'select 1'), client.bind('', 'nope'));
  const sending = send(client.parse('', 'select 2'), client.sync);
  answer(frame('1'), server.error('26000'));
  expect(await sending).toBe(client.sync.toString('latin1'));
});

it('tells the text of what SQL can run by a name', async () => {
  const { send, told, answer } = open();
  await send(
    client.parse('hid', 'delete from a'),
    client.parse('', 'table b'),
    client.bind('c', ''),
    client.query('fetch c'),
  );
  expect(told.splice(0)).toEqual(['prepared delete from a', 'started table b', 'started fetch c']);
  answer(frame('1'), frame('1'), frame('2'));
  expect(told.splice(0)).toEqual(['prepared table b']);
  await send(
    client.parse('', 'table d'),
    client.bind('d', ''),
    client.execute('d', 1),
    client.execute('d', 1),
    client.sync,
  );
  expect(told).toEqual(['started table d', 'prepared table d', 'started table d']);
});

it('tells which function a call is for, also where the call comes in pieces', async () => {
  const { send, told } = open();
  await send(client.functionCall(2624));
  const [formats, count] = [Buffer.alloc(2), Buffer.from([0, 1])];
  const value = Buffer.alloc(9_000_000);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(value.length);
  const long = frame('F', Buffer.from([0, 0, 3, 0xbb]), formats, count, size, value, formats);
  await send(long.subarray(0, 20_000));
  await send(long.subarray(20_000));
  expect(told).toEqual(['started function call 2624', 'started function call 955']);
});

it('writes a statement down before it is bound, and tells one that nothing executes', async () => {
  const { send, told, answer } = open();
  await send(client.parse('', 'select 1'), client.bind('', ''));
  expect(told).toEqual(['started select 1']);
  await send(client.execute(''), client.execute(''), client.sync);
  expect(told.splice(0)).toEqual(['started select 1', 'started select 1']);
  const done = server.commandComplete('SELECT 1');
  answer(frame('1'), frame('2'), done, done, server.ready());
  told.length = 0;
  await send(client.parse('', 'select effect()'), client.bind('', ''), client.sync);
  expect(told.splice(0)).toEqual(['started select effect()']);
  answer(frame('1'), frame('2'), server.ready());
  expect(told.splice(0)).toEqual(['prepared select effect()']);
  await send(client.bind('', ''), client.bind('', ''), client.execute(''));
  expect(told.splice(0)).toEqual(['started select effect()', 'started select effect()']);
  answer(frame('2'), frame('2'));
  expect(told.splice(0)).toEqual(['prepared select effect()']);
});

it('keeps a strict Bind back until the event log has its statement, and the Execute then no more', async () => {
  const { send, told, acknowledge } = open({ audit: 'strict' });
  const sending = send(
    client.parse('', 'select 1'),
    client.bind('', ''),
    client.execute(''),
    client.sync,
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(told).toEqual(['started select 1']);
  acknowledge();
  const sent = await sending;
  expect(sent).toContain(client.bind('', '').toString('latin1'));
  expect(sent).toContain(client.execute('').toString('latin1'));
  expect(told).toEqual(['started select 1']);
});

it('writes down what a strict Execute runs where that has changed while it waited', async () => {
  const { send, told, answer, acknowledge } = open({ audit: 'strict' });
  acknowledge();
  const tags = (...names: readonly string[]) =>
    names.flatMap((name) => [server.commandComplete(name), server.ready('T')]);
  const two = [client.parse('a', 'select 1'), client.parse('b', 'select 2')];
  await send(client.query('begin'), ...two, client.bind('c', 'a'), client.sync);
  await send(client.query('savepoint s'));
  answer(...tags('BEGIN'), frame('1'), frame('1'), frame('2'), server.ready('T'));
  answer(...tags('SAVEPOINT'));
  await send(client.bind('c', 'b'), client.sync, client.query('rollback to s'));
  told.length = 0;
  const sending = send(client.execute('c'), client.sync);
  answer(server.error('42P03'), server.ready('E'), ...tags('ROLLBACK'));
  await sending;
  answer(server.commandComplete('SELECT 1'), server.ready('T'));
  expect(told.filter((one) => one.endsWith('select 1'))).toEqual([
    'started select 1',
    'executed select 1',
  ]);
});

it('tells what was bound and then taken away, or not come to because of another', async () => {
  const { send, told, answer } = open();
  const evil = [client.parse('', 'select effect()'), client.bind('', '')];
  await send(...evil, client.close('P', ''), client.execute(''), client.sync);
  answer(frame('1'), frame('2'), frame('3'), server.error('34000'), server.ready());
  expect(told).toContain('prepared select effect()');
  told.length = 0;
  await send(client.bind('', ''), client.execute('nope'), client.execute(''), client.sync);
  answer(frame('2'), server.error('34000'));
  expect(told).toContain('prepared select effect()');
  answer(server.ready());
  told.length = 0;
  await send(client.bind('', ''), client.query('close c'), client.execute(''), client.sync);
  answer(frame('2'), server.commandComplete('CLOSE CURSOR'), server.ready());
  expect(told).toContain('prepared select effect()');
});

it('tells at the end what may have been bound', async () => {
  const { send, told, end } = open();
  await send(client.parse('', 'select effect()'), client.bind('', ''), client.sync);
  end();
  expect(told).toEqual(['started select effect()', 'prepared select effect()']);
});

it('tells nothing more of what a server did not come to bind', async () => {
  const { send, told, answer } = open();
  await send(client.parse('', 'selec'), client.bind('', ''), client.execute(''), client.sync);
  answer(server.error('42601'), server.ready());
  expect(told.splice(0)).toEqual(['started selec', 'executed selec']);
  await send(client.parse('', 'select $1::int'), client.bind('', '', ['x']), client.sync);
  answer(frame('1'), server.error('22P02'), server.ready());
  expect(told).toEqual(['started select $1::int', 'executed select $1::int']);
});

it.each(['skipped', 'not acknowledged'])(
  'sends no piece of a long strict Bind: %s',
  async (why) => {
    const { send, answer, acknowledge, loseAudit } = open({ audit: 'strict' });
    await send(client.parse('', 'select 1'), client.describe('S', ''));
    const long = client.bind('', '', [client.query('drop table a').toString().repeat(100_000)]);
    const sending = send(long.subarray(0, 20_000));
    if (why === 'skipped') {
      answer(server.error('42601'));
      acknowledge();
    } else loseAudit(new Error('lost'));
    expect(await sending).not.toContain('drop table');
    expect(await send(long.subarray(20_000))).toBe('');
    expect(await send(client.sync)).toBe(client.sync.toString('latin1'));
  },
);

it('writes down what a strict Bind binds where that has changed while it waited', async () => {
  const { send, told, answer, acknowledge } = open({ audit: 'strict' });
  await send(
    client.parse('a', 'select 1'),
    client.sync,
    client.parse('a', 'select 2'),
    client.sync,
  );
  answer(frame('1'), server.ready());
  told.length = 0;
  const sending = send(client.bind('', 'a'), client.execute(''));
  answer(server.error('42P05'), server.ready());
  acknowledge();
  await sending;
  expect(told).toEqual(['started select 2', 'executed select 2', 'started select 1']);
});
