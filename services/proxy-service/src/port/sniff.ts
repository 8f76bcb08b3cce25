/** What a connection is, from its first bytes (D5). Pure: the same bytes give the same answer, in whatever pieces they come. */
import { parseClientHello, type ClientHello } from './client-hello.js';

export type Sniffed =
  | { readonly kind: 'more' }
  /** Nothing this port knows: closed without an answer. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'tls'; readonly hello: ClientHello }
  | { readonly kind: 'clear'; readonly greeting: string }
  | { readonly kind: 'http' }
  /** A PROXY header where none is expected. */
  | { readonly kind: 'proxy_header' };

/** Most bytes looked at before a connection is given up. A TLS hello may be larger than other greetings. */
export const maxSniffBytes = { clear: 4096, tls: 16_384 } as const;

const httpMethods = [
  'GET ',
  'POST ',
  'PUT ',
  'HEAD ',
  'DELETE ',
  'PATCH ',
  'OPTIONS ',
  'CONNECT ',
  'TRACE ',
  'PRI ',
];
const proxyV2 = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const proxyV1 = Buffer.from('PROXY ');

/** @param greetings what protocols say first in clear, for example `SSH-2.0-` */
export function sniff(bytes: Buffer, greetings: readonly string[]): Sniffed {
  if (bytes.length === 0) return { kind: 'more' };
  if (bytes[0] === 0x16) return sniffTls(bytes);
  const texts: [string, Sniffed][] = [
    ...greetings.map((greeting): [string, Sniffed] => [greeting, { kind: 'clear', greeting }]),
    ...httpMethods.map((method): [string, Sniffed] => [method, { kind: 'http' }]),
    [proxyV1.toString('latin1'), { kind: 'proxy_header' }],
    [proxyV2.toString('latin1'), { kind: 'proxy_header' }],
  ];
  const head = bytes.toString('latin1', 0, 64);
  let mayBecome = false;
  for (const [text, found] of texts) {
    if (head.startsWith(text)) return found;
    if (text.startsWith(head)) mayBecome = true;
  }
  return { kind: mayBecome && bytes.length < maxSniffBytes.clear ? 'more' : 'unknown' };
}

function sniffTls(bytes: Buffer): Sniffed {
  if (bytes.length > 1 && bytes[1] !== 3) return { kind: 'unknown' };
  const hello = parseClientHello(bytes);
  if (hello === 'bad') return { kind: 'unknown' };
  if (hello !== 'more') return { kind: 'tls', hello };
  return { kind: bytes.length < maxSniffBytes.tls ? 'more' : 'unknown' };
}
