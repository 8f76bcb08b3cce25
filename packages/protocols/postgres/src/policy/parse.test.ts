import { describe, expect, it } from 'vitest';

import { FactCache } from './fact-cache.js';
import type { ParsedText, UnparsedReason } from './facts.js';
import { ParseLane } from './parse-lane.js';
import { createStatementParser, maxTextBytes } from './parse.js';

/** Deeper than the parser's stack: it gives no error of the grammar but is torn from its work. */
const breaking = `SELECT 1${'+1'.repeat(60_000)}`;
const failed: ParsedText = { kind: 'unparsed', reason: 'failed' };
const one = { kind: 'parsed', statements: [{ classes: ['select'] }] };

function createLane(options: Partial<ConstructorParameters<typeof ParseLane>[0]> = {}) {
  const replaced: UnparsedReason[] = [];
  const lane = new ParseLane({
    deadlineMs: 10_000,
    maxWaitingBytes: 10_000_000,
    isKept: true,
    onReplaced: (reason) => replaced.push(reason),
    ...options,
  });
  return { lane, replaced, [Symbol.asyncDispose]: async () => lane.close() };
}

describe('a parser', () => {
  it('takes only valid UTF-8 without NUL', async () => {
    await using parser = createStatementParser();
    for (const bytes of [
      Buffer.from([0x73, 0xff]),
      Buffer.from('SELECT 1\0; DELETE FROM a'),
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.from([0xc0, 0xa7]),
    ]) {
      expect(await parser.parse(bytes, 'ada')).toEqual({ kind: 'unparsed', reason: 'encoding' });
    }
    expect(await parser.parse(Buffer.from("SELECT 'ü\u{1f600}'"), 'ada')).toMatchObject(one);
  });

  it('reads a view of a larger buffer', async () => {
    await using parser = createStatementParser();
    expect(await parser.parse(Buffer.from('Q....SELECT 1\0').subarray(5, 13), 'ada')).toMatchObject(
      one,
    );
  });

  it('refuses more statements in a text than anybody writes', async () => {
    await using parser = createStatementParser();
    const parse = async (count: number) =>
      parser.parse(Buffer.from('SHOW a;'.repeat(count)), 'ada');
    expect(await parse(5_001)).toEqual({ kind: 'unparsed', reason: 'too_long' });
    const parsed = await parse(5_000);
    expect(parsed.kind === 'parsed' && parsed.statements).toHaveLength(5_000);
  });

  it('gives the same facts again for the same text', async () => {
    await using parser = createStatementParser();
    const first = await parser.parse(Buffer.from('SELECT 1'), 'ada');
    expect(await parser.parse(Buffer.from('SELECT 1'), 'ada')).toBe(first);
    expect(await parser.parse(Buffer.from('SELECT 2'), 'ada')).not.toBe(first);
  });

  it('takes a text of 1 MB and refuses one beyond its bound', async () => {
    await using parser = createStatementParser();
    const long = Buffer.from(`SELECT '${'x'.repeat(1_000_000)}'`);
    expect(await parser.parse(long, 'ada')).toMatchObject(one);
    expect(await parser.parse(Buffer.alloc(maxTextBytes + 1, ' '), 'ada')).toEqual({
      kind: 'unparsed',
      reason: 'too_long',
    });
  });
});

describe('a lane', () => {
  it('answers in order and tells busy beyond its bound', async () => {
    await using given = createLane({ maxWaitingBytes: 1_100 });
    const answers: string[] = [];
    await Promise.all(
      ['SELECT 1', 'DELETE FROM a', 'SELECT 2', 'SELECT 3'].map(async (text) => {
        const parsed = await given.lane.parse(text, 'ada');
        answers.push(`${text} ${parsed.kind === 'unparsed' ? parsed.reason : 'parsed'}`);
      }),
    );
    expect(answers).toEqual([
      'SELECT 3 busy',
      'SELECT 1 parsed',
      'DELETE FROM a parsed',
      'SELECT 2 parsed',
    ]);
  });

  it('has nobody wait for all that another has sent', async () => {
    await using given = createLane({ maxWaitingBytes: 1_600 });
    const answers: string[] = [];
    const ask = async (person: string, text: string) => {
      const parsed = await given.lane.parse(text, person);
      answers.push(`${person} ${text}${parsed.kind === 'unparsed' ? ` ${parsed.reason}` : ''}`);
    };
    const flood = ['SHOW a', 'SHOW b', 'SHOW c', 'SHOW d'].map(async (text) =>
      ask('mallory', text),
    );
    await Promise.all([...flood, ask('ada', 'SELECT 1')]);
    expect(answers).toEqual([
      'mallory SHOW d busy',
      'mallory SHOW a',
      'mallory SHOW b',
      'ada SELECT 1',
      'mallory SHOW c',
    ]);
  });

  it('goes on after texts that break its thread', async () => {
    await using given = createLane();
    const texts = [breaking, 'SELECT 1', `${breaking} `, 'SELECT 2'];
    const answers = await Promise.all(texts.map(async (text) => given.lane.parse(text, 'ada')));
    expect(answers).toMatchObject([failed, one, failed, one]);
    expect(given.replaced).toEqual(['failed', 'failed']);
  });

  it('gives up a text that takes too long, and parses the next', async () => {
    await using given = createLane({ deadlineMs: 1_000 });
    const slow = given.lane.parse(`SELECT 1${',1'.repeat(600_000)}`, 'ada');
    const next = given.lane.parse('SELECT 1', 'ada');
    expect(await slow).toEqual({ kind: 'unparsed', reason: 'timeout' });
    expect(await next).toMatchObject(one);
    expect(given.replaced).toEqual(['timeout']);
  });

  it('starts a new thread where it keeps none', async () => {
    await using given = createLane({ isKept: false });
    expect(await given.lane.parse('SELECT 1', 'ada')).toMatchObject(one);
    expect(await given.lane.parse('SELECT 1', 'ada')).toMatchObject(one);
    expect(given.replaced).toEqual([]);
  });

  it('answers what is under way when it is closed, and nothing afterwards', async () => {
    const { lane } = createLane();
    const pending = [lane.parse('SELECT 1', 'ada'), lane.parse('SELECT 2', 'ada')];
    await lane.close();
    expect(await Promise.all(pending)).toEqual([failed, failed]);
    expect(await lane.parse('SELECT 1', 'ada')).toEqual(failed);
  });
});

describe('the memory of facts', () => {
  const parsed: ParsedText = { kind: 'parsed', statements: [] };
  const known = (cache: FactCache, texts: string[]) =>
    texts.filter((text) => cache.get(text) !== undefined);

  it('keeps what is asked for and forgets the rest', () => {
    const cache = new FactCache({ maxEntries: 4, maxBytes: 10_000 });
    for (const text of ['a', 'b', 'c']) cache.set(text, parsed);
    expect(cache.get('a')).toBe(parsed);
    for (const text of ['d', 'a']) cache.set(text, parsed);
    expect(known(cache, ['b', 'a', 'd'])).toEqual(['a', 'd']);
  });

  it('is bounded in bytes', () => {
    const cache = new FactCache({ maxEntries: 1_000, maxBytes: 10_000 });
    const texts = Array.from({ length: 100 }, (_, index) => `${index}${'x'.repeat(400)}`);
    for (const text of texts) cache.set(text, parsed);
    for (const text of texts) cache.set(text, parsed);
    expect(texts.filter((text) => cache.get(text) !== undefined).length).toBeLessThan(10);
  });
});
