/**
 * Cuts terminal output into printable text and control functions (ECMA-48 §5, and what xterm adds). Everything is
 * bounded: a sequence that does not end is given up after 4096 characters.
 */

/** A piece of output. */
export type Token =
  | { readonly kind: 'text'; readonly text: string }
  /** A single C0 control other than ESC. */
  | { readonly kind: 'control'; readonly code: number }
  /** `ESC [ parameters final`; `parameters` includes a private mark and intermediates. */
  | { readonly kind: 'csi'; readonly parameters: string; readonly final: string }
  /** `ESC intermediates final`. */
  | { readonly kind: 'escape'; readonly intermediates: string; readonly final: string }
  /** OSC, DCS, SOS, PM, APC: strings for the terminal itself. */
  | { readonly kind: 'string'; readonly introducer: string };

const maxSequenceChars = 4096;
const esc = 0x1b;

/** Makes a tokenizer that keeps what is incomplete for the next call. */
export function createTokenizer(): (text: string) => Token[] {
  let rest = '';
  return (text) => {
    const input = rest + text;
    const tokens: Token[] = [];
    let at = 0;
    while (at < input.length) {
      const read = readToken(input, at);
      if (read === undefined) break;
      if (read.token !== undefined) tokens.push(read.token);
      at = read.end;
    }
    rest = input.slice(at);
    if (rest.length > maxSequenceChars) rest = '';
    return tokens;
  };
}

interface Read {
  /** Undefined for what is dropped. */
  readonly token: Token | undefined;
  readonly end: number;
}

/** The token at `at`; undefined where more input is needed. */
function readToken(input: string, at: number): Read | undefined {
  const code = input.charCodeAt(at);
  if (code === esc) return readEscape(input, at);
  if (code < 0x20 || code === 0x7f) return { token: { kind: 'control', code }, end: at + 1 };
  // C1 controls as characters: terminals may act on them, text never needs them.
  if (code >= 0x80 && code <= 0x9f) return { token: undefined, end: at + 1 };
  let end = at + 1;
  while (end < input.length && isPrintable(input.charCodeAt(end))) end += 1;
  return { token: { kind: 'text', text: input.slice(at, end) }, end };
}

function isPrintable(code: number): boolean {
  return code >= 0x20 && code !== 0x7f && (code < 0x80 || code > 0x9f);
}

function readEscape(input: string, at: number): Read | undefined {
  const next = input[at + 1];
  if (next === undefined) return undefined;
  if (next === '[') return readCsi(input, at);
  if (']PX^_'.includes(next)) return readString(input, at, next);
  let end = at + 1;
  while (isBetween(input, end, [0x20, 0x2f])) end += 1;
  if (end >= input.length) return undefined;
  if (!isBetween(input, end, [0x30, 0x7e])) return { token: undefined, end };
  const token: Token = {
    kind: 'escape',
    intermediates: input.slice(at + 1, end),
    final: input[end] ?? '',
  };
  return { token, end: end + 1 };
}

function readCsi(input: string, at: number): Read | undefined {
  let end = at + 2;
  while (isBetween(input, end, [0x20, 0x3f])) end += 1;
  if (end >= input.length) return undefined;
  if (!isBetween(input, end, [0x40, 0x7e])) return { token: undefined, end };
  return {
    token: { kind: 'csi', parameters: input.slice(at + 2, end), final: input[end] ?? '' },
    end: end + 1,
  };
}

/** Up to ST or, as xterm does for all of them here, BEL; CAN, SUB and a new ESC end it too. */
function readString(input: string, at: number, introducer: string): Read | undefined {
  for (let end = at + 2; end < input.length; end += 1) {
    const code = input.charCodeAt(end);
    if (code === 0x07 || code === 0x18 || code === 0x1a || code === 0x9c)
      return { token: { kind: 'string', introducer }, end: end + 1 };
    if (code !== esc) continue;
    if (end + 1 >= input.length) return undefined;
    return { token: { kind: 'string', introducer }, end: input[end + 1] === '\\' ? end + 2 : end };
  }
  return undefined;
}

function isBetween(input: string, at: number, [low, high]: readonly [number, number]): boolean {
  const code = input.charCodeAt(at);
  return code >= low && code <= high;
}
