import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

import { GatehouseError } from '@gatehouse/kit/errors';
import type { RecordingChunk } from '@gatehouse/kit/event-log';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';

import {
  createPlaybackFilter,
  createRecordingWriter,
  lastScreen,
  playRecording,
  readRecording,
  toAsciicast,
  toText,
  type Frame,
} from './index.js';
import { collect, createManualClock, fuzzTargets, recordChunks } from './testing.js';

const recordingId = `rec_${'0'.repeat(32)}`;
const header = { columns: 80, rows: 24 };
const output = (text: string, ms = 0): Frame => ({ kind: 'output', ms, bytes: Buffer.from(text) });
const text = async (frames: Frame[]) => (await collect(toText(frames))).join('');

afterEach(() => {
  vi.useRealTimers();
});

describe('the writer', () => {
  it('gives back what was recorded, with its times', async () => {
    const chunks = await recordChunks((recorder, clock) => {
      recorder.output(Buffer.from('one'));
      clock.advance(10);
      recorder.resize(120, 40);
      clock.advance(5);
      recorder.marker('here');
      recorder.output(Buffer.from([0xff, 0]));
    });
    expect(await collect(readRecording(chunks))).toEqual([
      {
        kind: 'header',
        ms: 0,
        header: {
          version: 1,
          columns: 80,
          rows: 24,
          startedAtMs: Date.parse('2026-11-26T00:00:00Z'),
        },
      },
      { kind: 'output', ms: 0, bytes: Buffer.from('one') },
      { kind: 'resize', ms: 10, columns: 120, rows: 40 },
      { kind: 'marker', ms: 15, label: 'here' },
      { kind: 'output', ms: 15, bytes: Buffer.from([0xff, 0]) },
    ]);
  });

  it('keeps no keystrokes unless it is told to', async () => {
    const chunks = await recordChunks((recorder) => recorder.input(Buffer.from('my password')));
    expect(await collect(readRecording(chunks))).toMatchObject([{ kind: 'header' }]);
  });

  it('closes a chunk at 256 KiB, and each is gzipped alone and linked to the one before', async () => {
    const chunks = await recordChunks((recorder) => {
      for (let index = 0; index < 10; index += 1) recorder.output(Buffer.alloc(100_000, index));
    });
    expect(chunks.map((chunk) => chunk.index)).toEqual([0, 1, 2, 3]);
    chunks.reduce((before, chunk) => {
      expect(chunk.previousSha256).toBe(before);
      expect(chunk.sha256).toBe(createHash('sha256').update(chunk.content).digest('hex'));
      return chunk.sha256;
    }, '0'.repeat(64));
    expect(chunks.reduce((sum, chunk) => sum + chunk.recordedBytes, 0)).toBe(1_000_000);
    const frames = await collect(readRecording(chunks));
    expect(
      Buffer.concat(frames.flatMap((frame) => (frame.kind === 'output' ? frame.bytes : []))).length,
    ).toBe(1_000_000);
  });

  it('keeps what does not compress within 256 KiB and a little', async () => {
    const noise = Buffer.from(
      Array.from({ length: 1_000_000 }, () => Math.floor(Math.random() * 256)),
    );
    const chunks = await recordChunks((recorder) => recorder.output(noise));
    expect(Math.max(...chunks.map((chunk) => chunk.content.length))).toBeLessThanOrEqual(
      256 * 1024 + 4096,
    );
  });

  it('closes a chunk 2 s after its first frame', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const chunks: RecordingChunk[] = [];
    const clock = createManualClock();
    const recorder = createRecordingWriter({
      recordingId,
      clock,
      header,
      sink: async (chunk) => void chunks.push(chunk),
    });
    vi.advanceTimersByTime(1000);
    recorder.output(Buffer.from('late'));
    vi.advanceTimersByTime(999);
    expect(chunks).toHaveLength(0);
    vi.advanceTimersByTime(1);
    vi.useRealTimers();
    await expect.poll(() => chunks.length).toBe(1);
    await recorder.end();
    expect(chunks).toHaveLength(1);
  });

  it('says when more than 4 MiB wait, and when half of that is gone', async () => {
    const gate = Promise.withResolvers<void>();
    const recorder = createRecordingWriter({
      recordingId,
      clock: createManualClock(),
      header,
      sink: async () => gate.promise,
    });
    for (let index = 0; index < 40; index += 1) recorder.output(Buffer.alloc(100_000));
    expect(recorder.overloaded).toBe(false);
    for (let index = 0; index < 10; index += 1) recorder.output(Buffer.alloc(100_000));
    expect(recorder.overloaded).toBe(true);
    let isDrained = false;
    const drained = recorder.drained().then(() => (isDrained = true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isDrained).toBe(false);
    gate.resolve();
    await drained;
    expect(recorder.overloaded).toBe(false);
    await recorder.end();
  });

  it('throws nothing when the sink fails, says so once, and wakes those who wait', async () => {
    const failures: unknown[] = [];
    const sink = async () => {
      throw new Error('full');
    };
    const recorder = createRecordingWriter({
      recordingId,
      clock: createManualClock(),
      header,
      sink,
      onFailure: (thrown) => failures.push(thrown),
    });
    for (let index = 0; index < 60; index += 1) recorder.output(Buffer.alloc(100_000));
    await recorder.drained();
    recorder.output(Buffer.from('more'));
    recorder.resize(1, 1);
    await recorder.end();
    await recorder.end();
    expect(failures).toMatchObject([{ message: 'full' }]);
    expect(recorder).toMatchObject({ failed: true, overloaded: false });
  });

  it('fails rather than fill the memory when nobody pauses', () => {
    const failures: unknown[] = [];
    const sink = async () => new Promise<void>(() => undefined);
    const recorder = createRecordingWriter({
      recordingId,
      clock: createManualClock(),
      header,
      sink,
      onFailure: (thrown) => failures.push(thrown),
    });
    for (let index = 0; index < 100; index += 1) recorder.output(Buffer.alloc(1_000_000));
    expect(failures).toMatchObject([{ code: 'RECORDING_OVERLOADED' }]);
  });

  it('sums up what recording.completed says', async () => {
    const clock = createManualClock();
    const chunks: RecordingChunk[] = [];
    const recorder = createRecordingWriter({
      recordingId,
      clock,
      header,
      sink: async (chunk) => void chunks.push(chunk),
    });
    recorder.output(Buffer.from('12345'));
    clock.advance(1234);
    await recorder.end();
    expect(recorder.summary()).toEqual({
      recordingId,
      chunks: 1,
      bytes: 5,
      durationMs: 1234,
      head: chunks[0]?.sha256,
    });
  });

  it('bounds the sizes that a client asks for, and takes 80 by 24 for none', async () => {
    const chunks = await recordChunks((recorder) => recorder.resize(1_000_000, -5), {
      columns: 0,
      rows: Number.NaN,
    });
    expect(await collect(readRecording(chunks))).toMatchObject([
      { header: { columns: 80, rows: 24 } },
      { columns: 1000, rows: 24 },
    ]);
  });
});

describe('the reader', () => {
  const chunk = (index: number, content: Buffer) => ({ index, content: gzipSync(content) });

  it.each([
    ['a gzip bomb', [{ index: 0, content: gzipSync(Buffer.alloc(10_000_000)) }]],
    ['bytes that are no gzip', [{ index: 0, content: Buffer.from('nonsense') }]],
    ['a missing chunk', [chunk(0, Buffer.alloc(0)), chunk(2, Buffer.alloc(0))]],
    ['a frame that is cut short', [chunk(0, Buffer.from([0, 0, 0, 0, 1, 0, 0, 0, 9, 1]))]],
    ['a frame of 4 GiB', [chunk(0, Buffer.from([0, 0, 0, 0, 1, 255, 255, 255, 255, 1]))]],
    [
      'content that is not what its hash says',
      [{ ...chunk(0, Buffer.alloc(0)), sha256: '0'.repeat(64) }],
    ],
    [
      'a chunk that does not follow the one before',
      [
        {
          ...chunk(0, Buffer.alloc(0)),
          sha256: createHash('sha256')
            .update(gzipSync(Buffer.alloc(0)))
            .digest('hex'),
        },
        { ...chunk(1, Buffer.alloc(0)), previousSha256: 'f'.repeat(64) },
      ],
    ],
  ])('refuses %s', async (_what, chunks) => {
    await expect(collect(readRecording(chunks))).rejects.toMatchObject({
      code: 'RECORDING_DAMAGED',
    });
  });

  it.each(fuzzTargets)('$name: throws nothing but GatehouseError', (fuzzTarget) => {
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 100 }), fc.constantFrom(...fuzzTarget.seeds)),
        fc.nat(),
        (bytes, cut) => {
          const input = Buffer.from(bytes);
          if (input.length > 0) input[cut % input.length] = cut & 0xff;
          try {
            fuzzTarget.run(input);
          } catch (thrown) {
            if (!(thrown instanceof GatehouseError)) throw thrown;
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe('as asciicast', () => {
  it('is version 2, with a character that was split put together', async () => {
    const frames: Frame[] = [
      {
        kind: 'header',
        ms: 0,
        header: {
          version: 1,
          columns: 100,
          rows: 30,
          command: 'top',
          startedAtMs: 1_700_000_000_500,
        },
      },
      { kind: 'output', ms: 1500, bytes: Buffer.from([0x61, 0xe2, 0x82]) },
      { kind: 'output', ms: 1600, bytes: Buffer.from([0xac, 0xff]) },
      { kind: 'resize', ms: 1700, columns: 80, rows: 24 },
      { kind: 'marker', ms: 1800, label: 'm' },
    ];
    expect((await collect(toAsciicast(frames))).map((line) => JSON.parse(line) as unknown)).toEqual(
      [
        { version: 2, width: 100, height: 30, timestamp: 1_700_000_000, command: 'top' },
        [1.5, 'o', 'a'],
        [1.6, 'o', '€\ufffd'],
        [1.7, 'r', '80x24'],
        [1.8, 'm', 'm'],
      ],
    );
  });
});

describe('as text', () => {
  it.each([
    ['colours and titles', '\u001b]0;title\u0007\u001b[1;31mred\u001b[0m plain\r\n', 'red plain\n'],
    ['an overwritten line', 'progress 10%\rprogress 99%\r\n', 'progress 99%\n'],
    ['a corrected typo', '$ lss\b \b\r\n', '$ ls\n'],
    ['a shell that redraws its line', '$ gti\u001b[2D\u001b[K' + 'it status\r\n', '$ git status\n'],
    ['deleted and inserted characters', 'abcdef\r\u001b[2P\u001b[1@X\r\n', 'Xcdef\n'],
    ['tabs', 'a\tb\n', 'a       b\n'],
    ['a last line without an end', 'no newline', 'no newline\n'],
    ['rows of a full screen', '\u001b[1;1Hfirst\u001b[2;1Hsecond\u001b[H', 'first\nsecond\n'],
  ])('shows %s as it stood there', async (_what, input, expected) => {
    expect(await text([output(input)])).toBe(expected);
    expect(await text(Array.from(input, (character) => output(character)))).toBe(expected);
  });

  it('holds any output within bounds', async () => {
    const long = (
      await collect(
        toText([
          output('x'.repeat(100_000)),
          output('\u001b[99999C'),
          output('\u001b]' + 'y'.repeat(100_000)),
        ]),
      )
    ).join('');
    expect(Math.max(...long.split('\n').map((line) => line.length))).toBeLessThanOrEqual(16 * 1024);
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.string({
            unit: fc.constantFrom(
              'a',
              '\u001b',
              '[',
              ']',
              '?',
              '1',
              ';',
              'H',
              'K',
              '\r',
              '\n',
              '\b',
              '\\',
              '\u0007',
            ),
          }),
        ),
        async (parts) => {
          const result = await text(parts.map((part) => output(part)));
          expect(result).not.toContain('\u001b');
        },
      ),
      { numRuns: 500 },
    );
  });

  it('reads a recording of 200,000 lines in moments', async () => {
    const chunks = await recordChunks(async (recorder) => {
      for (let line = 0; line < 200_000; line += 1) {
        recorder.output(Buffer.from(`\u001b[32mline\u001b[0m ${line}\r\n`));
        if (recorder.overloaded) await recorder.drained();
      }
      recorder.output(Buffer.from('the-marker\r\n'));
    });
    const start = performance.now();
    const all = (await collect(toText(readRecording(chunks)))).join('');
    expect(all.endsWith('line 199999\nthe-marker\n')).toBe(true);
    expect(performance.now() - start).toBeLessThan(40_000);
  });
});

describe('the last screen', () => {
  interface Golden {
    readonly columns: number;
    readonly rows: number;
    readonly output: string;
    readonly lines: readonly string[];
  }
  // Recorded from real programs; what the screen shows is tmux's opinion (`capture-pane`).
  const golden = Object.entries(
    JSON.parse(
      readFileSync(new URL('../test/fixtures/screens.json', import.meta.url), 'utf8'),
    ) as Record<string, Golden>,
  );

  it.each(golden)(
    'of %s is what a terminal shows',
    async (_program, { columns, rows, output: bytes, lines }) => {
      const chunks = await recordChunks(
        (recorder) => {
          const all = Buffer.from(bytes, 'base64');
          for (let at = 0; at < all.length; at += 7) recorder.output(all.subarray(at, at + 7));
        },
        { columns, rows },
      );
      const screen = await lastScreen(readRecording(chunks));
      expect(screen).toMatchObject({ columns, rows });
      expect(screen.lines.join('\n').trimEnd()).toBe(lines.join('\n').trimEnd());
    },
  );

  it('follows sizes, and can stop at a moment', async () => {
    const frames: Frame[] = [
      output('first', 10),
      { kind: 'resize', ms: 20, columns: 40, rows: 5 },
      output('\r\nsecond', 30),
    ];
    expect((await lastScreen(frames, 15)).lines[0]).toBe('first');
    expect(await lastScreen(frames)).toMatchObject({
      columns: 40,
      rows: 5,
      lines: ['first', 'second', '', '', ''],
      cursor: { column: 6, row: 1 },
    });
  });
});

describe('playback', () => {
  const play = (input: string) => createPlaybackFilter()(Buffer.from(input));

  it.each([
    ['a colour', '\u001b[1;38;5;9mred\u001b[0m'],
    ['cursor moves and erasing', '\u001b[2;3H\u001b[K\u001b[2J\r\n\t\b'],
    ['the alternate screen', '\u001b[?1049h\u001b[?25l'],
    ['line drawing', '\u001b(0qqq\u001b(B'],
  ])('shows %s', (_what, input) => {
    expect(play(input)).toBe(input);
  });

  it.each([
    ['device attributes', '\u001b[c\u001b[>c\u001b[=c\u001bZ'],
    ['status and position reports', '\u001b[5n\u001b[6n\u001b[?6n'],
    ['window reports and moves', '\u001b[21t\u001b[8;50;50t'],
    ['titles', '\u001b]0;title\u0007\u001b]2;title\u001b\\'],
    ['the clipboard', '\u001b]52;c;ZXZpbA==\u0007'],
    ['hyperlinks', '\u001b]8;;http://evil/\u0007'],
    ['settings queries', '\u001bP$qm\u001b\\\u001bP+q544e\u001b\\\u001b[?1$p'],
    ['terminal versions', '\u001b[>q\u0005'],
    ['printing and keys', '\u001b[5i\u001b[?1000h\u001b[?2004h\u001b[>4;2m'],
    ['application strings', '\u001b_Gpayload\u001b\\\u001b^pm\u001b\\\u001bXsos\u001b\\'],
    ['eight-bit controls', '\u009b6n\u009d52;c;x\u009c'.replace(/[6n52;cx]/g, '')],
    ['a full reset', '\u001bc'],
  ])('drops %s', (_what, input) => {
    expect(play(input)).toBe('');
    const filter = createPlaybackFilter();
    expect(Array.from(Buffer.from(input), (byte) => filter(Buffer.of(byte))).join('')).toBe('');
  });

  async function playTwoFrames(isTerminal: boolean) {
    const written: string[] = [];
    const waits: number[] = [];
    async function* frames(): AsyncGenerator<Frame> {
      yield output('a', 100);
      yield output('b', 60_100);
    }
    await playRecording(frames(), {
      write: (piece) => void written.push(piece),
      wait: async (ms) => void waits.push(ms),
      isTerminal,
      speed: 2,
      maxIdleMs: 1000,
    });
    return { written: written.join(''), waits };
  }

  it('keeps to the times of the recording, faster and with shorter pauses where asked', async () => {
    const { written, waits } = await playTwoFrames(true);
    expect(waits).toEqual([50, 500]);
    expect(written).toBe('ab\u001b[0m\u001b[?25h\u001b[?1049l');
  });

  it('writes to a pipe at once, and nothing of its own', async () => {
    expect(await playTwoFrames(false)).toEqual({ written: 'ab', waits: [] });
  });
});
