/** Bytes from outside as text for audit events. */

/**
 * Text of bytes that may be anything: valid UTF-8 stays, every other byte and every control character becomes `\xNN`.
 * With `lines`, newlines and tabs stay as they are (commands); without, they are escaped too (paths).
 */
export function escapeBytes(bytes: Uint8Array, options: { readonly lines?: boolean } = {}): string {
  const text = decodeStrict(bytes) ?? decodeLossless(bytes);
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) =>
    options.lines === true && (char === '\n' || char === '\t')
      ? char
      : escapeByte(char.charCodeAt(0)),
  );
}

function escapeByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeStrict(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function decodeLossless(bytes: Uint8Array): string {
  let text = '';
  let position = 0;
  while (position < bytes.length) {
    const length = sequenceLength(bytes[position] ?? 0);
    const decoded =
      length === 0 ? undefined : decodeStrict(bytes.subarray(position, position + length));
    text += decoded ?? escapeByte(bytes[position] ?? 0);
    position += decoded === undefined ? 1 : length;
  }
  return text;
}

function sequenceLength(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}
