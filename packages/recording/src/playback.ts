/**
 * Playing a recording in somebody's own terminal. Output of a stranger's host is hostile there: it could make the
 * terminal answer, retitle it, write to the clipboard or to files. Only what draws is let through.
 */
import { createTokenizer, type Token } from './escapes.js';
import type { Frame } from './frames.js';

/** Final bytes of control sequences that draw, move or style, and have no answer (ECMA-48 §8.3, xterm ctlseqs). */
const drawingFinals = new Set('@ABCDEFGHIJKLMPSTXZ`adefmrsu');
/** Private modes that change how a screen is drawn: autowrap, cursor, alternate screens, application keys off. */
const drawingModes = new Set(['5', '6', '7', '12', '25', '47', '1047', '1048', '1049', '2026']);
/** Save, restore, index, next line, reverse index, tab set, reset of charset. */
const drawingEscapes = new Set('78DEHM');
const bel = 0x07;
const drawingControls = new Set([bel, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f]);

/** Makes a filter for one recording's output: bytes in, text that is safe to write to a terminal out. */
export function createPlaybackFilter(): (bytes: Uint8Array) => string {
  const decoder = new TextDecoder();
  const tokenize = createTokenizer();
  return (bytes) =>
    tokenize(decoder.decode(bytes, { stream: true }))
      .map(safeText)
      .join('');
}

function safeText(token: Token): string {
  switch (token.kind) {
    case 'text':
      return token.text;
    case 'control':
      return drawingControls.has(token.code) ? String.fromCharCode(token.code) : '';
    case 'csi':
      return safeSequence(token.parameters, token.final);
    case 'escape':
      return safeEscape(token.intermediates, token.final);
    case 'string':
      return '';
  }
}

function safeSequence(parameters: string, final: string): string {
  if (/^[\d;:]*$/.test(parameters) && drawingFinals.has(final))
    return `\u001b[${parameters}${final}`;
  const modes = /^\?([\d;]+)$/.exec(parameters)?.[1]?.split(';') ?? [];
  const kept = final === 'h' || final === 'l' ? modes.filter((mode) => drawingModes.has(mode)) : [];
  return kept.length === 0 ? '' : `\u001b[?${kept.join(';')}${final}`;
}

function safeEscape(intermediates: string, final: string): string {
  if (intermediates === '' && drawingEscapes.has(final)) return `\u001b${final}`;
  return /^[()]$/.test(intermediates) && 'AB0'.includes(final)
    ? `\u001b${intermediates}${final}`
    : '';
}

export interface PlaybackOptions {
  /** Writes to the terminal; awaited, so that a slow one slows the playback. */
  write(text: string): Promise<void> | void;
  /** Waits in real time; called for a terminal only. */
  wait(ms: number): Promise<void>;
  /** Where it is written to. A pipe waits for nothing and has no state to restore. */
  readonly isTerminal: boolean;
  /** Default 1. */
  readonly speed?: number;
  /** Longest pause, ms of the recording; default none. */
  readonly maxIdleMs?: number;
}

/** Plays frames, on a terminal in their own time, with its modes and colours at the end as they were. */
export async function playRecording(
  frames: AsyncIterable<Frame>,
  options: PlaybackOptions,
): Promise<void> {
  const filter = createPlaybackFilter();
  let before = 0;
  for await (const frame of frames) {
    if (frame.kind !== 'output') continue;
    const pause =
      Math.min(Math.max(0, frame.ms - before), options.maxIdleMs ?? Infinity) /
      (options.speed ?? 1);
    before = frame.ms;
    if (options.isTerminal && pause > 0) await options.wait(pause);
    await options.write(filter(frame.bytes));
  }
  if (options.isTerminal) await options.write('\u001b[0m\u001b[?25h\u001b[?1049l');
}
