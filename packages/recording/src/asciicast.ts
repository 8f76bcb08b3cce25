/** Recordings as asciicast v2, which asciinema and web players read. */
import type { Frame } from './frames.js';

/**
 * Lines of an asciicast, each with its newline. Bytes that are no UTF-8 become U+FFFD; a character that is split between
 * frames is put together.
 * @see https://docs.asciinema.org/manual/asciicast/v2/
 */
export async function* toAsciicast(
  frames: AsyncIterable<Frame> | Iterable<Frame>,
): AsyncGenerator<string> {
  const decoders = { output: new TextDecoder(), input: new TextDecoder() };
  let hasHeader = false;
  for await (const frame of frames) {
    if (!hasHeader && frame.kind !== 'header') yield headerLine({ columns: 80, rows: 24 });
    if (frame.kind === 'header' && !hasHeader) yield headerLine(frame.header);
    hasHeader = true;
    const line = eventLine(frame, decoders);
    if (line !== undefined) yield line;
  }
}

type Decoders = Readonly<
  Record<'output' | 'input', { decode(bytes: Uint8Array, options: { stream: true }): string }>
>;

function headerLine(header: {
  columns: number;
  rows: number;
  startedAtMs?: number;
  command?: string | undefined;
}): string {
  const timestamp =
    header.startedAtMs === undefined ? undefined : Math.floor(header.startedAtMs / 1000);
  return `${JSON.stringify({ version: 2, width: header.columns, height: header.rows, timestamp, command: header.command })}\n`;
}

function eventLine(frame: Frame, decoders: Decoders): string | undefined {
  const seconds = frame.ms / 1000;
  switch (frame.kind) {
    case 'header':
      return undefined;
    case 'output':
    case 'input': {
      const text = decoders[frame.kind].decode(frame.bytes, { stream: true });
      return text === ''
        ? undefined
        : `${JSON.stringify([seconds, frame.kind === 'output' ? 'o' : 'i', text])}\n`;
    }
    case 'resize':
      return `${JSON.stringify([seconds, 'r', `${frame.columns}x${frame.rows}`])}\n`;
    case 'marker':
      return `${JSON.stringify([seconds, 'm', frame.label])}\n`;
  }
}
