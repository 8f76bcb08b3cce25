/** PEM (RFC 7468) around DER. */
import { identityError } from './errors.js';

const maxPemBytes = 1024 * 1024;

/** `-----BEGIN <label>-----` … with 64 columns and a newline at the end. */
export function derToPem(der: Uint8Array, label: string): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/** Every block of a PEM text (at most 1 MiB), in order, whatever its label. @throws ENCODING_INVALID */
export function pemToDer(pem: string): Buffer[] {
  if (pem.length > maxPemBytes)
    throw identityError('ENCODING_INVALID', { details: { why: 'the PEM text is too long' } });
  const blocks: Buffer[] = [];
  let body: string[] | undefined;
  for (const line of pem.split(/\r?\n/)) {
    const isBegin = /^-----BEGIN [A-Z0-9 ]+-----\s*$/.test(line);
    const isEnd = /^-----END [A-Z0-9 ]+-----\s*$/.test(line);
    if (isBegin) body = [];
    else if (isEnd && body) {
      blocks.push(decodeBody(body));
      body = undefined;
    } else if (body) body.push(line.trim());
  }
  if (body) throw identityError('ENCODING_INVALID', { details: { why: 'a PEM block has no end' } });
  return blocks;
}

function decodeBody(lines: readonly string[]): Buffer {
  const text = lines.join('');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
    throw identityError('ENCODING_INVALID', { details: { why: 'a PEM block is not base64' } });
  }
  return Buffer.from(text, 'base64');
}
