/**
 * Text from outside may hold any byte (D25). In memory, a byte that is no UTF-8 is one lone surrogate U+DC80…U+DCFF
 * (as Python's surrogateescape does), so that nothing is lost; in an event it is written out by {@link escapeText}.
 */

const lowest = 0xdc80;
const highest = 0xdcff;
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes as text, without loss: {@link bytesOfText} gives the same bytes back. */
export function textOfBytes(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return decodeLeniently(bytes);
  }
}

/** The bytes of a text, those of {@link textOfBytes} included. Other lone surrogates become their three bytes (WTF-8). */
export function bytesOfText(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0xd800 || code > 0xdfff) parts.push(Buffer.from(character));
    else if (code >= lowest && code <= highest) parts.push(Buffer.of(code & 0xff));
    else
      parts.push(Buffer.of(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)));
  }
  return Buffer.concat(parts);
}

/** True where a text holds what a store or a JSON reader may refuse: NUL or a lone surrogate. */
export function needsEscape(text: string): boolean {
  return text.includes('\0') || !text.isWellFormed();
}

/**
 * A text that every store and JSON reader accepts: NUL as `\x00`, a broken byte as `\xNN`, another lone surrogate as
 * `\uNNNN`, and the backslash itself as `\\`, so that the original can be told. Call it only where {@link needsEscape}.
 */
export function escapeText(text: string): string {
  let escaped = '';
  for (const character of text) escaped += escapeCharacter(character);
  return escaped;
}

function escapeCharacter(character: string): string {
  if (character === '\\') return '\\\\';
  if (character === '\0') return String.raw`\x00`;
  const code = character.codePointAt(0) ?? 0;
  if (code < 0xd800 || code > 0xdfff) return character;
  if (code >= lowest && code <= highest) return String.raw`\x${(code & 0xff).toString(16)}`;
  return String.raw`\u${code.toString(16)}`;
}

function decodeLeniently(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = '';
  let runStart = 0;
  for (let at = 0; at < buffer.length;) {
    const length = sequenceLength(buffer, at);
    at += Math.max(1, length);
    if (length > 0) continue;
    text +=
      buffer.toString('utf8', runStart, at - 1) +
      String.fromCharCode(0xdc00 | buffer.readUInt8(at - 1));
    runStart = at;
  }
  return text + buffer.toString('utf8', runStart);
}

/** Length of the well-formed sequence at `at`, or 0 (Unicode 15, table 3-7). */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  const length = nominalLength(first);
  if (length < 2 || at + length > bytes.length) return length < 2 ? length : 0;
  const [low, high] = secondByteRange(first);
  const rest = bytes.subarray(at + 1, at + length);
  const isWellFormed = rest.every((byte, index) =>
    index === 0 ? byte >= low && byte <= high : (byte & 0xc0) === 0x80,
  );
  return isWellFormed ? length : 0;
}

function nominalLength(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

function secondByteRange(first: number): readonly [low: number, high: number] {
  if (first === 0xe0) return [0xa0, 0xbf];
  if (first === 0xed) return [0x80, 0x9f];
  if (first === 0xf0) return [0x90, 0xbf];
  if (first === 0xf4) return [0x80, 0x8f];
  return [0x80, 0xbf];
}
