/** Helpers for tests of recordings. */
import type { Clock } from '@gatehouse/kit/clock';
import type { RecordingChunk } from '@gatehouse/kit/event-log';

import { createTokenizer } from './escapes.js';
import { frameKinds, parseFrames, writeFrame, type Frame } from './frames.js';
import { createPlaybackFilter } from './playback.js';
import { TextLine } from './transcript.js';
import { createRecordingWriter, type RecordingRecorder } from './writer.js';

/** A clock that a test moves. */
export interface ManualClock extends Clock {
  advance(ms: number): void;
}

export function createManualClock(startMs = Date.parse('2026-11-26T00:00:00Z')): ManualClock {
  let ms = 0;
  return { now: () => startMs + ms, monotonic: () => ms, advance: (by) => void (ms += by) };
}

/** Records with `act` and gives back the chunks. */
export async function recordChunks(
  act: (recorder: RecordingRecorder, clock: ManualClock) => void | Promise<void>,
  size = { columns: 80, rows: 24 },
): Promise<RecordingChunk[]> {
  const chunks: RecordingChunk[] = [];
  const clock = createManualClock();
  const recorder = createRecordingWriter({
    recordingId: `rec_${'0'.repeat(32)}`,
    clock,
    header: size,
    sink: async (chunk) => void chunks.push(chunk),
  });
  await act(recorder, clock);
  await recorder.end();
  return chunks;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export interface FuzzTarget {
  readonly name: string;
  /** Throws nothing but GatehouseError. */
  run(input: Buffer): void;
  readonly seeds: readonly Buffer[];
}

/** The inflated bytes of a chunk, and the output of a host as players and transcripts read it. */
export const fuzzTargets: readonly FuzzTarget[] = [
  {
    name: 'recording frames',
    run: (input) => void countFrames(parseFrames(input)),
    seeds: [seed()],
  },
  {
    name: 'terminal output',
    seeds: [
      Buffer.from('\u001b[1;31mred\u001b[0m\r\n\u001b]0;title\u0007\u001b[?1049h\u001bPq\u001b\\x'),
    ],
    run: (input) => {
      const played = createPlaybackFilter()(input);
      // oxlint-disable-next-line no-control-regex -- control characters are what this looks for
      if (/\u001b[^[()78DEHM]|\u001b\[[^\d;:?@-~]|[\u0080-\u009f]/.test(played))
        throw new Error('something that does not draw got through');
      const tokenize = createTokenizer();
      const line = new TextLine();
      const text =
        tokenize(input.toString())
          .map((token) => line.apply(token))
          .join('') + line.finish();
      if (text.includes('\u001b')) throw new Error('an escape got into the text');
    },
  },
];

function countFrames(frames: Iterable<Frame>): number {
  return Array.from(frames).length;
}

function seed(): Buffer {
  const bytes = Buffer.alloc(200);
  const header = Buffer.from(JSON.stringify({ version: 1, columns: 80, rows: 24, startedAtMs: 0 }));
  let end = writeFrame(bytes, 0, { ms: 0, kind: frameKinds.header, bytes: header });
  end = writeFrame(bytes, end, { ms: 1, kind: frameKinds.output, bytes: Buffer.from('hello') });
  end = writeFrame(bytes, end, { ms: 2, kind: frameKinds.resize, bytes: Buffer.of(0, 80, 0, 24) });
  end = writeFrame(bytes, end, { ms: 3, kind: frameKinds.marker, bytes: Buffer.from('m') });
  return bytes.subarray(0, end);
}
