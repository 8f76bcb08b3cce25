import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createErrorFactory } from '@gatehouse/kit/errors';
import { describe, expect, it, onTestFinished } from 'vitest';

import { keepInput, readCorpus } from './corpus.js';
import { corpusName, describeFinding, fuzz, type FuzzTarget } from './fuzz.js';
import { targets } from './targets.js';

const refuse = createErrorFactory({
  SHORT: { kind: 'invalid_argument', message: 'too short' },
  KIND: { kind: 'invalid_argument', message: 'unknown kind' },
});

/** A decoder with nothing wrong: kind, length, text. */
const sound: FuzzTarget = {
  name: 'sound',
  seeds: [Buffer.from([1, 0, 2, 65, 66])],
  run(input) {
    if (input.length < 3) throw refuse('SHORT');
    if (input[0] !== 1) throw refuse('KIND');
    if (input.readUInt16BE(1) > input.length - 3) throw refuse('SHORT');
  },
};

/** As `sound`, with something planted for inputs that pass the first checks. */
function planted(act: (input: Buffer) => void): FuzzTarget {
  return {
    ...sound,
    name: 'planted',
    run(input) {
      sound.run(input);
      act(input);
    },
  };
}

const short = { budgetMs: 5000, maxRuns: 200_000 };

describe('the fuzzer', () => {
  it('finds nothing in a sound decoder, and reaches both sides of its checks', async () => {
    const report = await fuzz(sound, { budgetMs: 5000, maxRuns: 3000 });
    expect(report.finding).toBeUndefined();
    expect(report.runs).toBe(3001);
    expect(report.refused).toBeGreaterThan(100);
    expect(report.refused).toBeLessThan(report.runs - 100);
    expect(report.outcomes).toBe(3);
  });

  it('catches a decoder that throws an error of its own, and gives the input that shows it', async () => {
    const target = planted((input) => {
      if (input[3] === 0x7f) throw new RangeError('planted');
    });
    const { finding } = await fuzz(target, short);
    expect(finding).toMatchObject({ kind: 'threw', cause: new RangeError('planted') });
    if (finding === undefined) throw new Error('nothing found');
    expect(() => target.run(finding.input)).toThrow(RangeError);
    expect(describeFinding('planted', finding)).toContain(finding.input.toString('base64'));
  });

  it('catches a decoder that throws what is no error', async () => {
    const target = planted((input) => {
      // oxlint-disable-next-line typescript/only-throw-error -- the planted mistake
      if (input.length > 20) throw 'planted';
    });
    expect((await fuzz(target, short)).finding).toMatchObject({ kind: 'threw', cause: 'planted' });
  });

  it('catches a decoder that never returns', async () => {
    const target = planted((input) => {
      while (input.length > 20);
    });
    expect((await fuzz(target, { ...short, hangMs: 500 })).finding).toMatchObject({ kind: 'hung' });
  });

  it('catches a decoder that keeps what it reads', async () => {
    const kept: string[][] = [];
    const target = planted(
      () => void kept.push(Array.from({ length: 2000 }, (_, index) => `${kept.length}-${index}`)),
    );
    expect((await fuzz(target, { ...short, budgetMs: 30_000 })).finding).toMatchObject({
      kind: 'memory',
    });
  });

  it('catches a decoder that allocates from an unchecked length', async () => {
    const target = planted(
      (input) => void Buffer.alloc(input.length > 10 ? input.readUInt32BE(input.length - 4) : 0),
    );
    expect((await fuzz(target, short)).finding).toMatchObject({ kind: 'memory' });
  });

  it('catches a decoder that changes its input', async () => {
    const target = planted((input) => void (input.length > 8 && input.reverse()));
    expect((await fuzz(target, short)).finding).toMatchObject({
      cause: new Error('the input was changed'),
    });
  });

  it('gets behind a check by keeping inputs with new outcomes', async () => {
    const stages = createErrorFactory({
      STAGE: { kind: 'invalid_argument', message: 'stage {n}' },
    });
    const target: FuzzTarget = {
      name: 'stages',
      seeds: [Buffer.alloc(6)],
      run(input) {
        const secret = [0xde, 0xad, 0xbe, 0xef];
        const n = secret.findIndex((byte, index) => input[index] !== byte);
        if (n >= 0) throw stages('STAGE', { details: { n: 'abcd'.charAt(n) } });
        throw new Error('planted');
      },
    };
    expect((await fuzz(target, { budgetMs: 20_000 })).finding).toMatchObject({
      cause: new Error('planted'),
    });
  });

  it('runs the same inputs in the same order for the same seed, and others for another', async () => {
    const options = { budgetMs: 20_000, maxRuns: 2000 };
    const first = await fuzz(sound, options);
    expect(await fuzz(sound, options)).toEqual(first);
    expect((await fuzz(sound, { ...options, seed: 'other' })).digest).not.toBe(first.digest);
  });

  it('runs the whole corpus and all seeds, even with no time left', async () => {
    const seen: Buffer[] = [];
    const target = { ...sound, run: (input: Buffer) => void seen.push(Buffer.from(input)) };
    const corpus = Array.from({ length: 500 }, (_, index) => Buffer.from(`kept ${index}`));
    await fuzz(target, { budgetMs: 0, corpus });
    expect(seen.slice(0, 501)).toEqual([...corpus, ...sound.seeds]);
  });

  it('never makes an input longer than the bound', async () => {
    let longest = 0;
    const target: FuzzTarget = {
      ...sound,
      run: (input) => void (longest = Math.max(longest, input.length)),
    };
    await fuzz(target, { budgetMs: 20_000, maxRuns: 5000, maxInputBytes: 1000 });
    expect(longest).toBe(1000);
  });

  it('keeps what it found where the next run reads it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gatehouse-corpus-'));
    onTestFinished(async () => rm(folder, { recursive: true }));
    const target = { name: 'a Name/of..parts' };
    expect(await readCorpus(target, folder)).toEqual([]);
    const file = await keepInput(target, Buffer.from('x'), folder);
    expect(file.startsWith(join(folder, 'a-name-of..parts'))).toBe(true);
    expect(await readCorpus(target, folder)).toEqual([Buffer.from('x')]);
  });
});

/** Decoders that a stranger can reach before anybody has proven anything get the long run; the others a short one. */
const exposed = new Set([
  'identity.ssh-certificate',
  'identity.tls-certificate',
  'identity.payload',
  'identity.grant',
  'control frames of agents',
  'spool segment',
  'sniffer',
  'preface',
]);
const given = process.env['GATEHOUSE_FUZZ_SECONDS'];
const secondsFor = (name: string) =>
  given === undefined ? (exposed.has(name) ? 15 : 4) : Number(given);

describe('decoders throw nothing but GatehouseError, answer, and stay small:', () => {
  it('no two share a corpus, and none of the exposed ones is missing', () => {
    expect(new Set(targets.map(corpusName)).size).toBe(targets.length);
    expect([...exposed].filter((name) => !targets.some((target) => target.name === name))).toEqual(
      [],
    );
  });

  it.each(targets)(
    '$name',
    async (target) => {
      const corpus = await readCorpus(target);
      const report = await fuzz(target, { budgetMs: secondsFor(target.name) * 1000, corpus });
      if (report.finding) {
        const file = await keepInput(target, report.finding.input);
        throw new Error(`${describeFinding(target.name, report.finding)}\nkept as ${file}`);
      }
      expect(report.runs).toBeGreaterThanOrEqual(corpus.length + target.seeds.length);
    },
    300_000,
  );
});
