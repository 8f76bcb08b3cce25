/**
 * The preface of `gatehouse-*` connections (D18), one each way: u16 length, then JSON of at most 4 KiB.
 * Client: `{v, target, login?, client}`. Proxy: `{session}` or `{error: {code, message, remedy?, id}}`.
 */
import type { Duplex } from 'node:stream';

import { createErrorFactory, type GatehouseError } from '@gatehouse/kit/errors';
import { z } from 'zod';

export const maxPrefaceBytes = 4096;

const fail = createErrorFactory({
  PREFACE_INVALID: { kind: 'invalid_argument', message: 'the preface is not valid: {why}' },
});

const prefaceSchema = z.object({
  v: z.literal(1),
  target: z.string().min(1).max(253),
  login: z.string().min(1).max(256).optional(),
  client: z.string().max(256).default(''),
});

export type Preface = z.output<typeof prefaceSchema>;

/** The length that the first two bytes announce. @throws PREFACE_INVALID beyond the limit */
export function prefaceLength(bytes: Buffer): number {
  const length = bytes.readUInt16BE(0);
  if (length === 0 || length > maxPrefaceBytes)
    throw fail('PREFACE_INVALID', { details: { why: `${length} bytes` } });
  return length;
}

/** @throws PREFACE_INVALID */
export function parsePreface(json: Buffer): Preface {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (thrown) {
    throw fail('PREFACE_INVALID', { details: { why: 'it is no JSON' }, cause: thrown });
  }
  const parsed = prefaceSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw fail('PREFACE_INVALID', {
    details: { why: `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}` },
  });
}

/** Reads one preface and leaves what follows it in the stream. @throws PREFACE_INVALID, also when the stream ends first */
export async function readPreface(stream: Duplex, signal: AbortSignal): Promise<Preface> {
  const head = await readExactly(stream, 2, signal);
  return parsePreface(await readExactly(stream, prefaceLength(head), signal));
}

async function readExactly(stream: Duplex, size: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (result: Buffer | Error) => {
      stream.off('readable', tryRead);
      stream.off('close', onClose);
      stream.off('end', onClose);
      signal.removeEventListener('abort', onAbort);
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    const tryRead = () => {
      const bytes: unknown = stream.read(size);
      if (Buffer.isBuffer(bytes) && bytes.length === size) settle(bytes);
      else if (Buffer.isBuffer(bytes)) onClose();
    };
    const onClose = () =>
      settle(fail('PREFACE_INVALID', { details: { why: 'the connection ended first' } }));
    const onAbort = () =>
      settle(fail('PREFACE_INVALID', { details: { why: 'it did not come in time' } }));
    stream.on('readable', tryRead);
    stream.once('close', onClose);
    stream.once('end', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    tryRead();
  });
}

function encode(value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const head = Buffer.alloc(2);
  head.writeUInt16BE(json.length, 0);
  return Buffer.concat([head, json]);
}

/** The proxy's yes. */
export function encodeAccepted(sessionId: string): Buffer {
  return encode({ session: sessionId });
}

/** The proxy's no: what the person may know. */
export function encodeRefused({ code, publicMessage, remedy, id }: GatehouseError): Buffer {
  return encode({ error: { code, message: publicMessage.slice(0, 2048), remedy, id } });
}
