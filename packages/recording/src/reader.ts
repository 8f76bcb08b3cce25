/** Reads chunks back into frames. What comes from a store is not trusted: order, hashes and sizes are checked. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { recordingError } from './errors.js';
import { parseFrames, type Frame } from './frames.js';

const gunzipAsync = promisify(gunzip);

/** Frames of one chunk, inflated; the writer makes at most 256 KiB. */
const maxInflatedBytes = 512 * 1024;

/** A chunk as a store or a service hands it out. */
export interface ReadableChunk {
  readonly index: number;
  readonly content: Uint8Array;
  /** Checked where it is given. */
  readonly sha256?: string;
  readonly previousSha256?: string;
}

/**
 * The frames of a recording, from chunks in order. Inflates one chunk at a time.
 * @throws RECORDING_DAMAGED where a chunk is missing, out of order, not what its hash says, or inflates beyond its bound
 */
export async function* readRecording(
  chunks: AsyncIterable<ReadableChunk> | Iterable<ReadableChunk>,
): AsyncGenerator<Frame> {
  let expected: number | undefined;
  let previous: string | undefined;
  for await (const chunk of chunks) {
    if (expected !== undefined && chunk.index !== expected)
      throw damaged(`chunk ${expected} is missing`);
    checkHashes(chunk, previous);
    yield* parseFrames(await inflate(chunk));
    expected = chunk.index + 1;
    previous = chunk.sha256;
  }
}

function checkHashes(chunk: ReadableChunk, previous: string | undefined): void {
  if (
    chunk.sha256 !== undefined &&
    createHash('sha256').update(chunk.content).digest('hex') !== chunk.sha256
  ) {
    throw damaged(`chunk ${chunk.index} is not what was recorded`);
  }
  if (
    previous !== undefined &&
    chunk.previousSha256 !== undefined &&
    chunk.previousSha256 !== previous
  ) {
    throw damaged(`chunk ${chunk.index} does not follow the one before`);
  }
}

async function inflate(chunk: ReadableChunk): Promise<Buffer> {
  try {
    return await gunzipAsync(chunk.content, { maxOutputLength: maxInflatedBytes });
  } catch (thrown) {
    throw damaged(`chunk ${chunk.index} can't be inflated`, thrown);
  }
}

function damaged(why: string, cause?: unknown) {
  return recordingError('RECORDING_DAMAGED', { cause, details: { why } });
}
