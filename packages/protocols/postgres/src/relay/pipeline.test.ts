import { describe, expect, it } from 'vitest';

import { client, frame, int16, server } from '../testing.js';
import { encodeErrorResponse } from '../wire/encode.js';
import { MessageReader } from '../wire/message-reader.js';
import { backendLimits, createTypeTable, frontendLimits } from '../wire/message-types.js';
import { Statement } from '../wire/statement.js';
import { WireError } from '../wire/wire-error.js';
import type { Execution, Outcome } from './pipeline-entries.js';
import { Pipeline, pipelineBackendTypes, pipelineFrontendTypes } from './pipeline.js';

const refusal = encodeErrorResponse({ severity: 'ERROR', sqlstate: '42501', message: 'refused' });

/** A session whose dialogue is played by hand. Answers are those that PostgreSQL 15 gives. */
class Dialogue {
  readonly log: string[] = [];
  readonly outcomes: Outcome[] = [];
  readonly pipeline = new Pipeline({
    finished: (execution, outcome) => {
      this.outcomes.push(outcome);
      this.log.push(`${name(execution)} ${words(outcome)}`);
    },
    ended: () => undefined,
    skipped: (execution) => this.log.push(`${name(execution)} skipped`),
    rebound: ({ statement }, name) =>
      this.log.push(`rebound ${name} ${statement?.text.toString() ?? '?'}`),
    commitFailed: ({ sqlstate }) => this.log.push(`commit failed ${sqlstate}`),
  });
  private readonly up = new MessageReader({
    limits: frontendLimits,
    wholeBytes: createTypeTable(pipelineFrontendTypes),
  });
  private readonly down = new MessageReader({
    limits: backendLimits,
    wholeBytes: createTypeTable(pipelineBackendTypes),
  });

  constructor() {
    this.server(frame('S', 'server_version', '15'), server.ready());
  }

  client(...messages: readonly Buffer[]): this {
    this.up.push(Buffer.concat(messages));
    for (let piece = this.up.next(); piece !== undefined; piece = this.up.next()) {
      if (piece.kind === 'run') this.pipeline.sent(piece);
      else this.pipeline.send(piece);
    }
    return this;
  }

  /** What the client gets. */
  server(...messages: readonly Buffer[]): Buffer {
    const out: Buffer[] = [];
    this.down.push(Buffer.concat(messages));
    for (let piece = this.down.next(); piece !== undefined; piece = this.down.next()) {
      if (piece.kind === 'run') this.pipeline.passed(piece);
      const isRun = piece.kind === 'run';
      out.push((isRun ? undefined : this.pipeline.receive(piece)) ?? piece.bytes);
    }
    return Buffer.concat(out);
  }
}

const name = ({ statement, kind }: Execution) => statement?.text.toString() ?? `unknown ${kind}`;

function words({ kind, index, command, rows, error }: Outcome): string {
  const at = index > 0 ? `#${index} ` : '';
  if (kind === 'completed') return `${at}${command}${rows === undefined ? '' : ` ${rows}`}`;
  return kind === 'failed' ? `${at}failed ${error?.sqlstate}` : `${at}${kind}`;
}

const done = {
  parse: frame('1'),
  bind: frame('2'),
  close: frame('3'),
  noData: frame('n'),
  fields: frame('T', int16(0)),
  parameters: frame('t', int16(0)),
  copyIn: frame('G', Buffer.alloc(3)),
  copyOut: frame('H', Buffer.alloc(3)),
  copyDone: frame('c'),
  empty: frame('I'),
  suspended: frame('s'),
  functionCall: frame('V', Buffer.alloc(4)),
} as const;

/** Parse, Bind and Execute of the unnamed. */
const run = (text: string) =>
  Buffer.concat([client.parse('', text), client.bind('', ''), client.execute('')]);
const ran = (tag: string) => Buffer.concat([done.parse, done.bind, server.commandComplete(tag)]);

describe('simple queries', () => {
  it('end with what the server says of each statement, and then are idle', () => {
    const dialogue = new Dialogue();
    expect(dialogue.pipeline.isIdle).toBe(true);
    dialogue.client(client.query('a; b; c'));
    expect(dialogue.pipeline.isIdle).toBe(false);
    const rows = [done.fields, server.dataRow('x'), server.dataRow('yz')];
    dialogue.server(...rows, server.commandComplete('SELECT 2'), server.commandComplete('BEGIN'));
    dialogue.server(server.commandComplete('INSERT 0 7'));
    expect(dialogue.pipeline.isIdle).toBe(false);
    dialogue.server(server.ready('T'));
    expect(dialogue.log).toEqual(['a; b; c SELECT 2', 'a; b; c #1 BEGIN', 'a; b; c #2 INSERT 7']);
    expect(dialogue.outcomes.map(({ bytes }) => bytes)).toEqual([2 * 6 + 3, 0, 0]);
    expect(dialogue.pipeline).toMatchObject({ isIdle: true, transactionStatus: 'T' });
  });

  it('end at the first error', () => {
    const dialogue = new Dialogue().client(client.query('a; b; c'), client.query('d'));
    dialogue.server(server.commandComplete('SELECT 0'), server.error('42P01'), server.ready('E'));
    dialogue.server(server.commandComplete('SELECT 1'), server.ready('I'));
    expect(dialogue.log).toEqual(['a; b; c SELECT 0', 'a; b; c #1 failed 42P01', 'd SELECT 1']);
  });

  it('may be empty, or be cancelled', () => {
    const dialogue = new Dialogue().client(client.query(''));
    dialogue.server(done.empty, server.ready());
    dialogue.client(client.query('a')).server(server.error('57014'), server.ready());
    expect(dialogue.log).toEqual([' empty', 'a failed 57014']);
  });

  it('are not disturbed by what may come at any time', () => {
    const dialogue = new Dialogue();
    const others = [
      frame('N', 'x', Buffer.of(0)),
      frame('A', Buffer.alloc(4), 'x', 'y'),
      frame('S', 'a', 'b'),
    ];
    dialogue.server(...others);
    dialogue.client(client.query('a')).server(...others, server.dataRow('1'), ...others);
    dialogue.server(server.commandComplete('SELECT 1'), ...others, server.ready(), ...others);
    expect(dialogue.outcomes[0]?.bytes).toBe(7);
    expect(dialogue.pipeline.isIdle).toBe(true);
  });

  it('fail once, even when the connection ends of it', () => {
    const dialogue = new Dialogue().client(client.query('copy t from stdin'), client.query('a'));
    dialogue.server(done.copyIn, server.error('08P01'), server.error('08P01', 'lost', 'FATAL'));
    expect(dialogue.log).toEqual(['copy t from stdin failed 08P01']);
    expect(dialogue.pipeline.takeUnanswered().map(name)).toEqual(['copy t from stdin', 'a']);
  });
});

describe('the extended protocol', () => {
  it('tells each Execute with the text of its Parse, and what its parameters were', () => {
    const dialogue = new Dialogue();
    const { pipeline, log } = dialogue;
    dialogue.client(client.parse('s', 'select $1'), client.describe('S', 's'), client.sync);
    dialogue.server(done.parse, done.parameters, done.fields, server.ready());
    const values = [{ format: 'text', bytes: Buffer.from('1'), valueBytes: 1 } as const];
    pipeline.bind('p', 's', values);
    const execution = pipeline.execute('p');
    expect(execution).toMatchObject({ kind: 'execute', values });
    expect(execution?.statement?.text.toString()).toBe('select $1');
    dialogue.client(client.execute('p'), client.sync);
    dialogue.server(done.bind, server.commandComplete('SELECT 1'));
    dialogue.server(server.commandComplete('SELECT 2'), server.ready());
    expect(log).toEqual(['select $1 SELECT 1', 'select $1 SELECT 2']);
  });

  it('matches a long pipeline', () => {
    const dialogue = new Dialogue();
    const texts = Array.from({ length: 2000 }, (_, index) => `s${index}`);
    dialogue.client(...texts.map(run), client.sync);
    dialogue.server(...texts.map((_, index) => ran(`SELECT ${index}`)), server.ready());
    expect(dialogue.log).toEqual(texts.map((text, index) => `${text} SELECT ${index}`));
    expect(dialogue.pipeline.isIdle).toBe(true);
  });

  it('skips to the next Sync after an error, and no further', () => {
    const dialogue = new Dialogue();
    dialogue.client(run('a'), run('b'), run('c'), client.query('q'), client.sync);
    dialogue.client(run('d'), client.sync, client.sync);
    dialogue.server(ran('SELECT 1'), done.parse, done.bind, server.error('22012'));
    expect(dialogue.log.splice(0)).toEqual([
      'a SELECT 1',
      'b failed 22012',
      'c skipped',
      'q skipped',
    ]);
    dialogue.server(server.ready(), ran('SELECT 4'), server.ready(), server.ready());
    expect(dialogue.log).toEqual(['d SELECT 4']);
    expect(dialogue.pipeline.isIdle).toBe(true);
  });

  it('skips what is still to come, too', () => {
    const dialogue = new Dialogue().client(run('a'));
    dialogue.server(done.parse, server.error('22P02'));
    expect(dialogue.pipeline.isSkipping).toBe(true);
    dialogue.client(run('b'), client.query('c'), client.functionCall(1), client.close('S', ''));
    expect(dialogue.pipeline).toMatchObject({ isSkipping: true, isIdle: false });
    dialogue.client(client.sync, run('d'), client.sync);
    dialogue.server(server.ready(), ran('SELECT 1'), server.ready());
    expect(dialogue.log).toEqual(['a failed 22P02', 'a skipped', 'd SELECT 1']);
  });

  it('tells a statement that fails before it is executed', () => {
    const dialogue = new Dialogue().client(client.parse('', 'bad'), client.sync);
    dialogue.server(server.error('42601'), server.ready());
    dialogue.client(client.bind('', 'never'), client.sync);
    dialogue.server(server.error('26000'), server.ready());
    dialogue.client(client.describe('S', 'never'), client.sync);
    dialogue.server(server.error('26000'), server.ready());
    expect(dialogue.log).toEqual(['bad failed 42601', 'unknown bind failed 26000']);
  });

  it('tells a commit that fails in the Sync', () => {
    const dialogue = new Dialogue().client(run('insert'), client.sync);
    dialogue.server(ran('INSERT 0 1'), server.error('23503'), server.ready());
    expect(dialogue.log).toEqual(['insert INSERT 1', 'commit failed 23503']);
    expect(dialogue.pipeline.isIdle).toBe(true);
  });

  it('counts a suspended portal each time it is executed', () => {
    const dialogue = new Dialogue().client(client.parse('', 'a'), client.bind('', ''));
    dialogue.client(
      client.execute('', 2),
      client.execute('', 2),
      client.execute('', 2),
      client.sync,
    );
    const row = server.dataRow('1');
    dialogue.server(done.parse, done.bind, row, row, done.suspended, row, row, done.suspended);
    dialogue.server(row, server.commandComplete('SELECT 1'), server.ready());
    expect(dialogue.log).toEqual(['a suspended', 'a suspended', 'a SELECT 1']);
    expect(dialogue.outcomes.map(({ rows, bytes }) => [rows, bytes])).toEqual([
      [2, 14],
      [2, 14],
      [1, 7],
    ]);
  });

  it('may be mixed with simple queries and function calls', () => {
    const dialogue = new Dialogue().client(run('a'), client.query('q'), client.sync);
    dialogue.server(
      ran('SELECT 1'),
      server.commandComplete('SELECT 2'),
      server.ready(),
      server.ready(),
    );
    dialogue.client(client.functionCall(1598), client.functionCall(1));
    dialogue.server(done.functionCall, server.ready(), server.error('42883'), server.ready());
    expect(dialogue.log).toEqual([
      'a SELECT 1',
      'q SELECT 2',
      'function call 1598 ',
      'function call 1 failed 42883',
    ]);
    expect(dialogue.pipeline.isIdle).toBe(true);
  });
});

describe('names', () => {
  it('mean what they did when the message that changes them fails or is skipped', () => {
    const dialogue = new Dialogue().client(client.parse('s', 'old'), client.parse('t', 'gone'));
    dialogue.client(client.sync).server(done.parse, done.parse, server.ready());
    dialogue.client(client.parse('s', 'failed'), client.parse('t', 'skipped'));
    dialogue.client(client.close('S', 's'), client.parse('s', 'skipped too'), client.sync);
    dialogue.server(server.error('42P05'), server.ready());
    dialogue.client(client.bind('', 's'), client.execute(''), client.bind('', 't'));
    dialogue.client(client.execute(''), client.sync);
    const executed = [done.bind, server.commandComplete('SELECT 1')];
    dialogue.server(...executed, ...executed, server.ready());
    expect(dialogue.log).toEqual(['failed failed 42P05', 'old SELECT 1', 'gone SELECT 1']);
  });

  it('mean what the server made of them, whatever was sent before its answers were there', () => {
    const dialogue = new Dialogue().client(client.parse('s', 'old'), client.sync);
    dialogue.server(done.parse, server.ready());
    // The name is not free, and then it is.
    dialogue.client(client.parse('s', 'told'), client.sync);
    const run = [client.bind('p', 's'), client.execute('p'), client.sync];
    dialogue.client(...run, client.close('S', 's'), client.parse('s', 'new'), client.sync, ...run);
    dialogue.server(server.error('42P05'), server.ready());
    dialogue.client(...run);
    const ran = [done.bind, server.commandComplete('SELECT 1'), server.ready()];
    dialogue.server(...ran, done.close, done.parse, server.ready(), ...ran, ...ran);
    expect(dialogue.log).toEqual([
      'told failed 42P05',
      'rebound p old',
      'old SELECT 1',
      'new SELECT 1',
      'new SELECT 1',
    ]);
  });

  it('are not known behind a block that failed, as what it prepared stays', () => {
    const dialogue = new Dialogue().client(client.parse('s', 'old'), client.sync);
    dialogue.server(done.parse, server.ready());
    dialogue.client(client.query(`${'-'.repeat(70_000)}\ndo $$ … $$`));
    dialogue.server(server.error('22012'), server.ready());
    expect(dialogue.pipeline.preparedStatement('s')).toBeUndefined();
  });

  it('mean nothing that is known once SQL has given them anew', () => {
    const dialogue = new Dialogue();
    for (const [text, sql] of [
      ['y', 'prepare y as delete from t'],
      ['y\xa0', 'prepare y\xa0 as delete from t'],
      ['y', 'deallocate prepare --c\ny'],
      ['y', 'execute by_name'],
    ] as const) {
      const tag = sql.startsWith('deallocate') ? 'DEALLOCATE' : 'PREPARE';
      dialogue.client(client.parse(text, 'old'), client.sync).server(done.parse, server.ready());
      dialogue.client(client.query(sql), client.bind('', text), client.execute(''), client.sync);
      dialogue.server(server.commandComplete(tag), server.ready(), done.bind);
      dialogue.server(server.commandComplete('DELETE 1'), server.ready());
      expect(dialogue.log.splice(0).slice(0, -1), sql).not.toContain('old DELETE 1');
      dialogue.client(client.bind('', text), client.execute(''), client.sync);
      dialogue.server(done.bind, server.commandComplete('DELETE 1'), server.ready());
      expect(dialogue.log.splice(0), sql).toEqual(['unknown execute DELETE 1']);
    }
  });

  it('are known behind SQL that takes them where they were given behind it', () => {
    const dialogue = new Dialogue();
    for (const [sql, tag] of [
      ['discard all', 'DISCARD ALL'],
      ['deallocate s', 'DEALLOCATE'],
    ] as const) {
      dialogue.client(client.query(sql), client.parse('s', 'mine'), client.sync);
      expect(dialogue.pipeline.preparedStatement('s')?.text.toString()).toBe('mine');
      dialogue.server(server.commandComplete(tag), server.ready(), done.parse, server.ready());
      expect(dialogue.pipeline.preparedStatement('s')?.text.toString()).toBe('mine');
    }
  });

  it('of portals are taken by SQL that is about them, or about nobody knows which', () => {
    for (const [sql, tag, expected] of [
      ['close other', 'CLOSE CURSOR', 'kept'],
      ['close "c"', 'CLOSE CURSOR', undefined],
      ['close all', 'CLOSE CURSOR ALL', undefined],
      ['declare d cursor for select 1', 'DECLARE CURSOR', 'kept'],
      ['select 1; declare c cursor for select 1', 'DECLARE CURSOR', undefined],
      [`/*${'x'.repeat(70_000)}*/ do $$ … $$`, 'DO', undefined],
    ] as const) {
      const dialogue = new Dialogue().client(client.parse('', 'kept'), client.bind('c', ''));
      dialogue.client(client.sync).server(done.parse, done.bind, server.ready('T'));
      dialogue.client(client.query(sql));
      dialogue.server(server.commandComplete(tag), server.ready('T'));
      const text = dialogue.pipeline.portalStatement('c')?.text.toString();
      expect(text, sql.slice(0, 40)).toBe(expected);
    }
  });

  it('of nothing end with a simple query', () => {
    const dialogue = new Dialogue().client(client.parse('', 'old'), client.sync);
    dialogue.client(client.query('select 1'));
    expect(dialogue.pipeline.preparedStatement('')).toBeUndefined();
    dialogue.client(client.parse('', 'new'));
    expect(dialogue.pipeline.preparedStatement('')?.text.toString()).toBe('new');
  });

  it('of portals do so, too: a savepoint keeps the portal that was there', () => {
    const dialogue = new Dialogue().client(client.query('begin'));
    dialogue.server(server.commandComplete('BEGIN'), server.ready('T'));
    dialogue.client(client.parse('a', 'evil'), client.parse('b', 'innocent'));
    dialogue.client(client.bind('p', 'a'), client.sync);
    dialogue.server(done.parse, done.parse, done.bind, server.ready('T'));
    dialogue.client(client.bind('p', 'b'), client.sync);
    dialogue.server(server.error('42P03'), server.ready('E'));
    dialogue.client(client.query('rollback to s'));
    dialogue.server(server.commandComplete('ROLLBACK'), server.ready('T'));
    dialogue.client(client.execute('p'), client.sync);
    dialogue.server(server.commandComplete('SELECT 1'), server.ready('T'));
    expect(dialogue.log.at(-1)).toBe('evil SELECT 1');
  });

  it('of portals end with the transaction', () => {
    const dialogue = new Dialogue();
    const { pipeline } = dialogue;
    dialogue.client(client.parse('s', 'a'), client.bind('p', 's'), client.sync);
    dialogue.server(done.parse, done.bind, server.ready('T'));
    expect(pipeline.portalStatement('p')?.text.toString()).toBe('a');
    dialogue.client(client.query('commit'));
    dialogue.server(server.commandComplete('COMMIT'), server.ready());
    expect(pipeline.portalStatement('p')).toBeUndefined();
    expect(pipeline.execute('p')).toMatchObject({ statement: undefined });
  });

  it('are taken by Close', () => {
    const dialogue = new Dialogue();
    const { pipeline } = dialogue;
    dialogue.client(client.parse('s', 'a'), client.bind('p', 's'), client.close('P', 'p'));
    expect(pipeline.portalStatement('p')).toBeUndefined();
    dialogue.client(client.close('S', 's'), client.bind('p', 's'), client.sync);
    expect(pipeline.portalStatement('p')).toBeUndefined();
    dialogue.server(done.parse, done.bind, done.close, done.close, server.error('26000'));
    dialogue.server(server.ready());
  });

  it('stay bounded when 20,000 are prepared and never closed', () => {
    const dialogue = new Dialogue();
    const { pipeline } = dialogue;
    for (let index = 0; index < 20_000; index += 1) {
      dialogue.client(client.parse(`s${index}`, `select ${index}`), client.sync);
      dialogue.server(done.parse, server.ready());
    }
    const text = (statement: string) => {
      pipeline.bind('', statement);
      return pipeline.portalStatement('')?.text.toString();
    };
    expect([text('s0'), text('s10000'), text('s19999')]).toEqual([
      undefined,
      'select 10000',
      'select 19999',
    ]);
  });
});

describe('COPY', () => {
  const copy = 'copy t from stdin';
  const data = [client.copyData('12\n'), client.copyData('3\n')];

  it('from the client counts what it carries', () => {
    const dialogue = new Dialogue().client(client.query(copy));
    dialogue.server(done.copyIn);
    dialogue.client(...data, client.flush, client.copyDone);
    dialogue.server(server.commandComplete('COPY 2'), server.ready());
    expect(dialogue.outcomes[0]).toMatchObject({ command: 'COPY', rows: 2, bytes: 5 });
    expect(dialogue.pipeline.isIdle).toBe(true);
  });

  it('to the client counts what it carries', () => {
    const dialogue = new Dialogue().client(client.query('copy t to stdout'));
    dialogue.server(done.copyOut, ...data, done.copyDone);
    dialogue.server(server.commandComplete('COPY 2'), server.ready());
    expect(dialogue.outcomes[0]).toMatchObject({ rows: 2, bytes: 5 });
  });

  it('ends when either side fails', () => {
    const dialogue = new Dialogue().client(client.query(copy));
    dialogue.server(done.copyIn);
    dialogue.client(...data, client.copyFail('no'));
    dialogue.server(server.error('57014'), server.ready());
    dialogue.client(client.query('copy t to stdout'));
    dialogue.server(done.copyOut, ...data, server.error('57014'), server.ready());
    dialogue.client(client.query(copy));
    dialogue.server(done.copyIn, server.error('22P02'), server.ready());
    dialogue.client(...data, client.copyDone, client.query('a'));
    dialogue.server(server.commandComplete('SELECT 1'), server.ready());
    expect(dialogue.log.map((line) => line.slice(-12))).toEqual([
      'failed 57014',
      'failed 57014',
      'failed 22P02',
      'a SELECT 1',
    ]);
    expect(dialogue.outcomes.map(({ bytes }) => bytes)).toEqual([5, 5, 0, 0]);
  });

  it('happens more than once in a simple query', () => {
    const dialogue = new Dialogue().client(client.query('copy; copy; select'));
    dialogue.server(done.copyIn);
    dialogue.client(...data, client.copyDone);
    dialogue.server(server.commandComplete('COPY 2'), done.copyIn);
    dialogue.client(client.copyData('4\n'), client.copyDone);
    dialogue.server(server.commandComplete('COPY 1'), server.commandComplete('SELECT 0'));
    dialogue.server(server.ready());
    expect(dialogue.outcomes.map(({ index, bytes }) => [index, bytes])).toEqual([
      [0, 5],
      [1, 2],
      [2, 0],
    ]);
    expect(dialogue.pipeline.isIdle).toBe(true);
  });

  it('reads over the Sync that was sent with its Execute, as libpq does', () => {
    const dialogue = new Dialogue().client(run(copy), client.sync);
    dialogue.server(done.parse, done.bind, done.copyIn);
    dialogue.client(...data, client.copyDone, client.sync, run('a'), client.sync);
    dialogue.server(server.commandComplete('COPY 2'), server.ready());
    expect(dialogue.pipeline.isIdle).toBe(false);
    dialogue.server(ran('SELECT 1'), server.ready());
    expect(dialogue.log).toEqual([`${copy} COPY 2`, 'a SELECT 1']);
    expect(dialogue.pipeline.isIdle).toBe(true);
  });

  it('may be over before that Sync is read', () => {
    for (const extraReady of [false, true]) {
      const dialogue = new Dialogue().client(run(copy), client.sync);
      dialogue.server(done.parse, done.bind, done.copyIn, server.error('57014'));
      if (extraReady) dialogue.server(server.ready());
      dialogue.client(...data, client.copyDone, client.sync, run('a'), client.sync);
      dialogue.server(server.ready(), ran('SELECT 1'), server.ready());
      expect(dialogue.log).toEqual([`${copy} failed 57014`, 'a SELECT 1']);
      expect(dialogue.pipeline.isIdle).toBe(true);
    }
    // The same, seen after everything was sent.
    const dialogue = new Dialogue().client(run(copy), client.sync);
    dialogue.client(...data, client.copyDone, client.sync, run('a'), client.sync);
    dialogue.server(done.parse, done.bind, done.copyIn, server.error('57014'));
    dialogue.server(server.ready(), server.ready(), ran('SELECT 1'), server.ready());
    expect(dialogue.log).toEqual([`${copy} failed 57014`, 'a SELECT 1']);
    expect(dialogue.pipeline.isIdle).toBe(true);
  });

  it('that fails in a pipeline skips to the next Sync', () => {
    const dialogue = new Dialogue().client(run(copy), ...data, client.copyFail('no'), run('a'));
    dialogue.client(client.sync);
    dialogue.server(done.parse, done.bind, done.copyIn, server.error('57014'), server.ready());
    expect(dialogue.log).toEqual([`${copy} failed 57014`, 'a skipped']);
    expect(dialogue.outcomes[0]?.bytes).toBe(5);
  });

  it('in a pipeline is followed by what comes after it', () => {
    const dialogue = new Dialogue().client(run(copy), ...data, client.copyDone, run('a'));
    dialogue.client(client.sync);
    dialogue.server(done.parse, done.bind, done.copyIn, server.commandComplete('COPY 2'));
    dialogue.server(ran('SELECT 1'), server.ready());
    expect(dialogue.log).toEqual([`${copy} COPY 2`, 'a SELECT 1']);
  });
});

describe('a refused statement', () => {
  const refused = Statement.of(Buffer.from('drop table t'));
  const rejected = server.error('42601', 'syntax error');

  it('is answered in place of the server, whose order and status stay', () => {
    const dialogue = new Dialogue();
    dialogue.pipeline.query(refused, refusal);
    dialogue.client(client.query('a'));
    const got = dialogue.server(
      rejected,
      server.ready('E'),
      server.error('25P02'),
      server.ready('E'),
    );
    expect(got).toEqual(
      Buffer.concat([refusal, server.ready('E'), server.error('25P02'), server.ready('E')]),
    );
    expect(dialogue.log).toEqual(['a failed 25P02']);
    expect(dialogue.pipeline).toMatchObject({ isIdle: true, transactionStatus: 'E' });
  });

  it.each(['first', 'middle', 'last'])('of a pipeline is answered where it stands: %s', (place) => {
    const dialogue = new Dialogue();
    const before = place === 'first' ? [] : ['a', 'b'];
    const after = place === 'last' ? [] : ['y', 'z'];
    for (const text of before) dialogue.client(run(text));
    dialogue.pipeline.parse('', refused, refusal);
    // Certain to be skipped: no Execute is told.
    expect(dialogue.pipeline.isSkipping).toBe(true);
    dialogue.pipeline.bind('', '');
    expect(dialogue.pipeline.execute('')).toBeUndefined();
    for (const text of after) dialogue.client(run(text));
    dialogue.client(client.sync, run('next'), client.sync);
    const answers = before.map(() => ran('SELECT 1'));
    const got = dialogue.server(
      ...answers,
      rejected,
      server.ready(),
      ran('SELECT 2'),
      server.ready(),
    );
    expect(got).toEqual(
      Buffer.concat([...answers, refusal, server.ready(), ran('SELECT 2'), server.ready()]),
    );
    expect(dialogue.log).toEqual([...before.map((text) => `${text} SELECT 1`), 'next SELECT 2']);
  });

  it('is skipped when one before it fails', () => {
    const dialogue = new Dialogue().client(run('a'));
    dialogue.pipeline.parse('s', refused, refusal);
    dialogue.client(client.sync);
    const got = dialogue.server(done.parse, done.bind, server.error('22012'), server.ready());
    expect(got.includes(refusal)).toBe(false);
    dialogue.client(client.bind('', 's'), client.execute(''), client.sync);
    dialogue.server(server.error('26000'), server.ready());
    expect(dialogue.log).toEqual([
      'a failed 22012',
      'unknown bind failed 26000',
      'unknown execute skipped',
    ]);
  });

  it('may be an Execute or a function call', () => {
    const dialogue = new Dialogue().client(client.parse('', 'a'), client.bind('', ''));
    dialogue.pipeline.execute('', refusal);
    dialogue.client(client.sync);
    dialogue.pipeline.functionCall(Statement.of(Buffer.from('function call 1')), refusal);
    const got = dialogue.server(
      done.parse,
      done.bind,
      rejected,
      server.ready(),
      rejected,
      server.ready(),
    );
    expect(got).toEqual(
      Buffer.concat([done.parse, done.bind, refusal, server.ready(), refusal, server.ready()]),
    );
    expect(dialogue.log).toEqual([]);
  });

  it('does not hide that the connection ends', () => {
    const dialogue = new Dialogue();
    dialogue.pipeline.query(refused, refusal);
    const fatal = server.error('57P01', 'shutdown', 'FATAL');
    expect(dialogue.server(fatal)).toEqual(fatal);
  });

  it.each([
    [
      'a Query',
      (pipeline: Pipeline) => pipeline.query(refused, refusal),
      server.commandComplete('DROP'),
    ],
    ['a Parse', (pipeline: Pipeline) => pipeline.parse('', refused, refusal), done.parse],
    ['an Execute', (pipeline: Pipeline) => pipeline.execute('', refusal), done.parse],
  ])('that is executed all the same ends the session: %s', (_what, refuse, answer) => {
    const dialogue = new Dialogue();
    refuse(dialogue.pipeline);
    expect(() => dialogue.server(answer)).toThrow(WireError);
  });
});

describe('a pipeline', () => {
  it.each([
    ['ParseComplete', [done.parse]],
    ['CommandComplete', [server.commandComplete('SELECT 1')]],
    ['NoData', [done.noData]],
    ['CopyInResponse', [done.copyIn]],
    ['a second ReadyForQuery', [server.ready()]],
  ])('ends at an answer to what was not asked: %s', (_what, answer) => {
    expect(() => new Dialogue().server(...answer)).toThrow(WireError);
    const dialogue = new Dialogue().client(client.bind('', ''), client.execute(''), client.sync);
    expect(() => dialogue.server(...answer)).toThrow(WireError);
  });

  it('passes errors that belong to no statement', () => {
    const dialogue = new Dialogue();
    const fatal = server.error('57P01', 'shutdown', 'FATAL');
    expect(dialogue.server(fatal)).toEqual(fatal);
    expect(dialogue.log).toEqual([]);
  });

  it('says when it is full, by number and by size, and takes no more in the end', () => {
    const dialogue = new Dialogue();
    const { pipeline } = dialogue;
    const syncs = Buffer.concat(Array.from({ length: 4_096 }, () => client.sync));
    dialogue.client(syncs);
    expect(pipeline.isFull).toBe(true);
    dialogue.server(server.ready());
    expect(pipeline.isFull).toBe(false);
    dialogue.client(syncs);
    expect(() => dialogue.client(client.sync, client.sync)).toThrow(WireError);

    const large = new Dialogue();
    const statement = Statement.of(Buffer.alloc(65_536, 'x'));
    for (let index = 0; index < 128; index += 1) large.pipeline.query(statement);
    expect(large.pipeline.isFull).toBe(true);
    large.server(server.commandComplete('SELECT 1'), server.ready());
    expect(large.pipeline.isFull).toBe(false);
  });

  it('gives what is left when the connection ends', () => {
    const dialogue = new Dialogue().client(client.query('a'), client.query('b'), run('c'));
    dialogue.server(server.commandComplete('SELECT 1'), server.ready());
    expect(dialogue.pipeline.takeUnanswered().map(name)).toEqual(['b', 'c']);
  });
});

describe('a name that SQL takes', () => {
  const after = (text: string, tag: string) => {
    const dialogue = new Dialogue();
    dialogue.client(client.parse('foo', 'select 1'), client.parse('bar', 'select 2'), client.sync);
    dialogue.server(done.parse, done.parse, server.ready());
    dialogue.client(client.query(text));
    dialogue.server(server.commandComplete(tag), server.ready());
    dialogue.client(client.bind('', 'foo'), client.bind('p', 'bar'), client.sync);
    const textOf = (portal: string) => dialogue.pipeline.portalStatement(portal)?.text.toString();
    return [textOf(''), textOf('p')];
  };

  it.each([
    ['deallocate foo', 'DEALLOCATE', [undefined, 'select 2']],
    ['DEALLOCATE PREPARE "foo";', 'DEALLOCATE', [undefined, 'select 2']],
    ['prepare FOO as delete from t', 'PREPARE', [undefined, 'select 2']],
    ['prepare "FOO" as delete from t', 'PREPARE', ['select 1', 'select 2']],
    ['/* x */ deallocate foo', 'DEALLOCATE', [undefined, undefined]],
    ['deallocate all', 'DEALLOCATE ALL', [undefined, undefined]],
    ['discard all', 'DISCARD ALL', [undefined, undefined]],
    ['discard plans', 'DISCARD PLANS', ['select 1', 'select 2']],
  ])('is not known any more: %s', (text, tag, expected) => {
    expect(after(text, tag)).toEqual(expected);
  });

  it('is not known from when that is sent: what is pipelined behind it may be another statement', () => {
    const dialogue = new Dialogue().client(client.parse('a', 'select 1'), client.sync);
    dialogue.server(done.parse, server.ready());
    const { pipeline } = dialogue.client(
      client.query('select 1;\n deallocate a; prepare a as delete from t'),
      client.bind('c', 'a'),
    );
    expect(pipeline.portalStatement('c')).toBeUndefined();
    dialogue.client(client.parse('b', 'select 2'), client.bind('c', 'b'));
    expect(pipeline.portalStatement('c')?.text.toString()).toBe('select 2');
    dialogue.client(client.query('/* */ close c; declare c cursor for table secret'));
    expect(pipeline.portalStatement('c')).toBeUndefined();
  });

  it('is known behind texts that only contain such words, in a time that grows with their length alone', () => {
    const dialogue = new Dialogue().client(client.parse('a', 'select 1'), client.sync);
    const startedAt = performance.now();
    const words = 'select prepare, discard from declare where deallocate is null';
    dialogue.client(client.query(`${words} -- ${'\n'.repeat(60_000)}`));
    dialogue.client(
      client.query(`${words} -- ${';discard temp '.repeat(4_600)}`),
      client.bind('c', 'a'),
    );
    expect(dialogue.pipeline.portalStatement('c')?.text.toString()).toBe('select 1');
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });

  const withNames = () => {
    const dialogue = new Dialogue();
    dialogue.client(client.parse('a', 'select 1'), client.parse('b', 'select 2'), client.sync);
    dialogue.server(done.parse, done.parse, server.ready());
    dialogue.client(client.bind('c', 'b'));
    return dialogue;
  };
  const behind = (dialogue: Dialogue) => {
    dialogue.client(client.bind('', 'a'), client.bind('d', 'b'));
    const { pipeline } = dialogue;
    return ['', 'd', 'c'].map((portal) => pipeline.portalStatement(portal)?.text.toString());
  };
  const all = ['select 1', 'select 2', 'select 2'];
  const none = [undefined, undefined, undefined];

  it.each([
    ['deallocate a ; deallocate b; prepare b as delete from t', [undefined, undefined, 'select 2']],
    ['discard /* */ all', [undefined, undefined, 'select 2']],
    ["do $$begin execute 'deallocate a'; execute 'pre'||'pare a as delete from t'; end$$", none],
    [`${'-'.repeat(70_000)}\n; deallocate a; prepare a as delete from t`, none],
    ['deallocate "\u00e9"', [undefined, undefined, 'select 2']],
    ['select open,\n close,\n prepare from prices;', all],
    ['insert into t values (1)\non conflict\ndo nothing; select 1', all],
    ['discard temp', all],
    ['call refresh()', all],
  ])('is known or not behind %s', (text, expected) => {
    expect(behind(withNames().client(client.query(text)))).toEqual(expected);
  });

  it('is not known until a text that is not known, or not to its end, is answered', () => {
    const dialogue = withNames().client(client.bind('x', 'by SQL'), client.execute('x'));
    expect(behind(dialogue)).toEqual(none);
    dialogue.server(done.bind, done.bind, server.commandComplete('SELECT 1'));
    expect(behind(dialogue)).toEqual(all);
    const { pipeline } = dialogue.client(client.query(`select 1 ${' '.repeat(70_000)}; close c`));
    dialogue.server(done.bind, done.bind, done.bind, done.bind);
    dialogue.server(server.commandComplete('SELECT 1'), server.commandComplete('CLOSE CURSOR'));
    dialogue.server(server.ready('T'));
    expect(pipeline.preparedStatement('a')?.text.toString()).toBe('select 1');
    expect(pipeline.portal('c')).toBeUndefined();
  });

  it('does not come back when a Parse from before fails', () => {
    const dialogue = withNames();
    dialogue.client(client.parse('a', 'select 3'), client.sync, client.query('deallocate a'));
    dialogue.server(done.bind, server.error('42P05'));
    expect(dialogue.pipeline.preparedStatement('a')).toBeUndefined();
    expect(dialogue.pipeline.preparedStatement('b')?.text.toString()).toBe('select 2');
  });
});

describe('a COPY that leaves room for doubt', () => {
  it('lets nobody ask for anything between its error and the ReadyForQuery that ends the doubt', () => {
    const dialogue = new Dialogue().client(run('COPY t FROM STDIN'), client.copyData('bad\n'));
    dialogue.client(client.sync);
    dialogue.server(done.parse, done.bind, done.copyIn, server.error('22P02'));
    expect(() => dialogue.pipeline.checkCertain()).toThrow(WireError);
    dialogue.server(server.ready());
    expect(() => dialogue.pipeline.checkCertain()).not.toThrow();
  });

  it('is certain again with the next Sync', () => {
    const dialogue = new Dialogue().client(run('COPY t FROM STDIN'), client.sync);
    dialogue.server(done.parse, done.bind, done.copyIn, server.error('22P02'));
    expect(() => dialogue.pipeline.checkCertain()).toThrow(WireError);
    dialogue.client(client.sync);
    expect(() => dialogue.pipeline.checkCertain()).not.toThrow();
  });

  it('ends the session where something was sent between the data and the next Sync', () => {
    const dialogue = new Dialogue().client(run('COPY t FROM STDIN'), client.copyData('bad\n'));
    dialogue.client(client.sync, client.bind('x', 'nope'), client.sync, client.describe('S', 's'));
    const answers = [done.parse, done.bind, done.copyIn, server.error('22P02')];
    expect(() => dialogue.server(...answers)).toThrow('before the end of a failed COPY');
  });

  it('takes a Sync in the data of the second COPY of a query for what it is', () => {
    const text = 'COPY a FROM STDIN; COPY b FROM STDIN';
    const dialogue = new Dialogue().client(client.query(text));
    dialogue.server(done.copyIn);
    dialogue.client(client.copyDone);
    dialogue.server(server.commandComplete('COPY 0'), done.copyIn);
    dialogue.client(client.sync, client.copyDone);
    dialogue.server(server.commandComplete('COPY 0'), server.ready());
    dialogue.client(client.query('SELECT 1 FROM nothing'));
    dialogue.server(server.error('42P01'), server.ready());
    dialogue.client(client.query('DELETE FROM orders'));
    dialogue.server(server.commandComplete('DELETE 5'), server.ready());
    expect(dialogue.log).toEqual([
      `${text} COPY 0`,
      `${text} #1 COPY 0`,
      'SELECT 1 FROM nothing failed 42P01',
      'DELETE FROM orders DELETE 5',
    ]);
    expect(dialogue.pipeline.isIdle).toBe(true);
  });
});
