/**
 * Whole dialogues by chance between a client and a server that keep to the protocol, in whatever pieces, whoever is slow:
 * every byte arrives in order, what runs is told as it ran, and nobody waits for ever.
 */
import { duplexPair, type Duplex } from 'node:stream';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';

import { createRandom, type Random } from '@gatehouse/kit/testing';
import type { Session, SessionEvent } from '@gatehouse/protocol-api';
import { describe, expect, it } from 'vitest';

import { createStatementParser } from '../policy/parse.js';
import { client, frame, server } from '../testing.js';
import { keptChars, ModelServer, type Executed } from './model-server.fixture.js';
import { Relay } from './relay.js';

type Audit = 'best_effort' | 'strict';

/** Of each kind. */
const count = 80;

const texts = ['rows 0', 'rows 3', 'rows 700', 'copyout 40', 'fail'] as const;
const terminate = frame('X');
/** What a server may say at any time. */
const unasked = [frame('N', 'Mnotice', ''), frame('A', Buffer.alloc(4), 'channel', '')] as const;
const unknown = '?';

/** What a client sends in one go: all of it, or what it sends before it waits for the answers. */
function randomTurn(random: Random, names: string[]): Buffer[] {
  switch (random.below(10)) {
    case 0:
      return [client.query(`${random.pick(texts)};${random.pick(texts)};${random.pick(texts)}`)];
    case 1:
      return [client.query(random.pick(['', ';', 'fail', `rows 1 ${'x'.repeat(60_000)}`]))];
    case 2:
      return [client.query('copyin'), ...randomCopy(random)];
    case 6:
    case 7:
      return [client.query(random.pick(['begin', 'begin', 'commit', 'rollback']))];
    case 3:
      return random.below(2) === 0
        ? [client.functionCall(random.below(100))]
        : [client.query(`${randomSql(random, names)};${randomSql(random, names)}`)];
    case 4:
      return [...startCopy, ...randomCopy(random), client.sync];
    case 5:
      // As libpq does: the first Sync is read over.
      return [...startCopy, client.sync, ...randomCopy(random), client.sync];
    default:
      return randomBatch(random, names);
  }
}

/** What changes what a name stands for. */
function randomSql(random: Random, names: readonly string[]): string {
  const name = random.pick(['s0', ...names]);
  return random.pick([
    `prepare ${name} as rows 2`,
    `deallocate ${name}`,
    'discard all',
    'declare cursor rows 4',
    'close cursor',
    'fetch cursor',
  ]);
}

function start(text: string): Buffer[] {
  return [client.parse('', text), client.bind('', ''), client.execute('')];
}

/** By a name that no other turn binds, as nobody sends anything else while data is awaited. */
const startCopy = [
  client.close('S', 'copy'),
  client.parse('copy', 'copyin'),
  client.bind('', 'copy'),
  client.execute(''),
];

function randomCopy(random: Random): Buffer[] {
  const data = Array.from({ length: random.below(5) }, () =>
    client.copyData('x'.repeat(random.pick([1, 200, 30_000]))),
  );
  return [...data, random.below(4) === 0 ? client.copyFail('no') : client.copyDone];
}

function randomBatch(random: Random, names: string[]): Buffer[] {
  const messages = Array.from({ length: 1 + random.below(6) }, () => randomStep(random, names));
  return [...messages.flat(), client.sync];
}

function randomStep(random: Random, names: string[]): Buffer[] {
  const name = random.pick(['', ...names]);
  switch (random.below(10)) {
    case 0: {
      const named = random.below(3) === 0 && name !== '' ? name : `s${names.length}`;
      if (named !== name) names.push(named);
      return [client.parse(named, random.pick([...texts, 'broken']))];
    }
    case 1:
      return [client.close('S', name)];
    case 2:
      return [client.describe('S', name)];
    case 3:
      return [client.flush];
    case 4:
      return [client.bind('cursor', name), client.execute('cursor', 2), client.execute('cursor')];
    case 5:
      return [client.parse('', 'broken')];
    case 9:
      return start(randomSql(random, names));
    case 6:
      return [client.bind('', name, ['1', null]), client.describe('P', ''), client.execute('')];
    default:
      return start(random.pick(texts));
  }
}

interface World {
  readonly random: Random;
  readonly told: Executed[];
  /** Sent by the server, as it is. */
  readonly answers: Buffer[];
  readonly session: Session;
}

function createWorld(random: Random, audit: Audit): World {
  const told: Executed[] = [];
  const tell = ({ type, outcome, data }: SessionEvent) => {
    if (type !== 'db.statement_executed') return;
    const text = String(data['statement'])
      .replace(/^text not known.*/, unknown)
      .slice(0, keptChars);
    const rows = typeof data['rows'] === 'number' ? data['rows'] : 'empty';
    told.push({ text, result: outcome === 'success' ? rows : 'failed' });
  };
  const never = new AbortController().signal;
  const session = {
    identity: { user: 'ada' },
    options: { dbBindValues: false, audit },
    statements: { allow: [{ role: 'r', statements: undefined, tables: undefined }], deny: [] },
    signal: never,
    cut: never,
    target: { name: 'pg-1' },
    emit: tell,
    announce: () => ({
      acknowledged: audit === 'strict' ? pause(random.below(2)) : undefined,
      finish: tell,
      abandon: () => undefined,
    }),
    record: () => ({ output: () => undefined }),
    pace: () => (random.below(40) === 0 ? pause(1) : undefined),
  } as unknown as Session;
  return { random, told, answers: [], session };
}

/** Writes as a socket would that takes what it can, in pieces by chance. */
async function writeInPieces(stream: Duplex, bytes: Buffer, random: Random): Promise<void> {
  const largest = random.pick([1, 7, 100, 5_000, 200_000]);
  const pieces = bytes.length / largest > 3_000 ? 200_000 : largest;
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.below(pieces);
    if (!stream.write(bytes.subarray(at, end)))
      await new Promise((resolve) => stream.once('drain', resolve));
    if (random.below(8) === 0) await nextTurn();
    at = end;
  }
}

/** The server reads a piece, answers it, and may be slow with both; what it says by itself comes in between. */
async function serve(stream: Duplex, { random, answers }: World): Promise<ModelServer> {
  const model = new ModelServer((message) => {
    answers.push(message);
    if (random.below(30) === 0) answers.push(random.pick(unasked));
  });
  let sent = 0;
  const answer = async () => {
    const bytes = Buffer.concat(answers.slice(sent));
    sent = answers.length;
    await writeInPieces(stream, bytes, random);
  };
  answers.push(server.ready());
  await answer();
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    model.push(chunk);
    if (random.below(4) === 0) await nextTurn();
    await answer();
    if (model.hasLeft) break;
  }
  return model;
}

async function play(seed: string, audit: Audit): Promise<void> {
  const random = createRandom(seed);
  const world = createWorld(random, audit);
  const highWaterMark = random.pick([16, 1024, 65_536]);
  const [clientEnd, clientSide] = duplexPair({ highWaterMark });
  const [serverSide, serverEnd] = duplexPair({ highWaterMark });
  const over = new Relay({
    session: world.session,
    client: clientSide,
    target: serverSide,
    database: 'app',
    parser: createStatementParser(),
    exchangeKey: (key) => key,
  }).run();
  over.catch(() => undefined);
  const served = serve(serverEnd, world);
  const heard: Buffer[] = [];
  clientEnd.on('data', (chunk: Buffer) => heard.push(chunk));
  // What was kept from the server is what it would have thrown away.
  const whole: Buffer[] = [];
  const ideal = new ModelServer((message) => whole.push(message));
  const allAnswered = async () => {
    while (countReady(heard) <= countReady(whole)) await pause(2);
  };
  const isPatient = random.below(2) === 0;
  const names: string[] = [];
  let hasSql = false;
  for (let left = 1 + random.below(12); left > 0; left -= 1) {
    const turn = Buffer.concat(randomTurn(random, names));
    hasSql ||= /prepare|deallocate|discard|declare|close/.test(turn.toString('latin1'));
    ideal.push(turn);
    await writeInPieces(clientEnd, turn, random);
    if (isPatient) await allAnswered();
  }
  // Of who leaves before, answers are not waited for without end.
  await allAnswered();
  await writeInPieces(clientEnd, terminate, random);
  const model = await served;
  serverEnd.end();
  expect(await over, seed).toBe('client_left');
  clientSide.end();
  await new Promise((resolve) => clientEnd.once('end', resolve));
  expect(Buffer.concat(heard).equals(Buffer.concat(world.answers)), `${seed}: answers`).toBe(true);
  expect(model.executed, `${seed}: at the server`).toEqual(ideal.executed);
  const told = world.told.map(({ text, result }, index) => {
    // Where it is not known what a name stands for, that is told, and never another text.
    const isUnknown = text === unknown && (!isPatient || hasSql);
    return { text: isUnknown ? model.executed[index]?.text : text, result };
  });
  expect(told, `${seed}: told`).toEqual(model.executed);
}

function countReady(chunks: readonly Buffer[]): number {
  const bytes = Buffer.concat(chunks);
  let count = 0;
  for (let at = 0; at + 5 <= bytes.length; at += 1 + bytes.readUInt32BE(at + 1))
    if (bytes[at] === 0x5a && at + 6 <= bytes.length) count += 1;
  return count;
}

describe.each<Audit>(['best_effort', 'strict'])('dialogues by chance, %s', (audit) => {
  it('arrive as they were said, and are told as they ran', { timeout: 180_000 }, async () => {
    for (let turn = 1; turn <= count; turn += 1) {
      const seed = `${audit} ${turn}`;
      const late = pause(20_000, 'late', { ref: false });
      expect(await Promise.race([play(seed, audit), late]), `${seed}: hangs`).toBeUndefined();
    }
  });
});
