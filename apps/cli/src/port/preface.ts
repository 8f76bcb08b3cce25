/**
 * The preface of a `gatehouse-ssh` connection (D18): u16 length + JSON of at most 4 KiB each way, then raw bytes.
 * → `{v: 1, target, login?, client}` ← `{session}` or `{error: {code, message, remedy, id}}`
 */
import { isRecord, parseJson } from '../profile/json.js';

/** Longest JSON of either side, bytes. */
export const maxPrefaceBytes = 4096;

/** Where to, as whom. */
export interface PrefaceRequest {
  readonly target: string;
  readonly login?: string;
  /** Name and version of this program. */
  readonly client: string;
}

/** @throws RangeError where the names are too long to be sent */
export function encodePreface(request: PrefaceRequest): Buffer {
  const json = Buffer.from(JSON.stringify({ v: 1, ...request }));
  if (json.length > maxPrefaceBytes) throw new RangeError('the name of the target is too long');
  const length = Buffer.alloc(2);
  length.writeUInt16BE(json.length);
  return Buffer.concat([length, json]);
}

/** Why not, in the words of the proxy. */
export interface PrefaceRefusal {
  readonly message: string;
  readonly remedy: string | null;
  readonly id: string | null;
}

/** What has arrived: an answer, part of one, or something else. */
export type PrefaceReply =
  | { readonly type: 'accepted'; readonly session: string; readonly rest: Buffer }
  | { readonly type: 'refused'; readonly refusal: PrefaceRefusal }
  | { readonly type: 'incomplete' }
  | { readonly type: 'broken' };

/** Reads a reply out of what has arrived so far. */
export function decodeReply(bytes: Buffer): PrefaceReply {
  if (bytes.length < 2) return { type: 'incomplete' };
  const length = bytes.readUInt16BE(0);
  if (length > maxPrefaceBytes) return { type: 'broken' };
  if (bytes.length < 2 + length) return { type: 'incomplete' };
  const reply = parseJson(bytes.toString('utf8', 2, 2 + length));
  if (!isRecord(reply)) return { type: 'broken' };
  const { session, error } = reply;
  if (isRecord(error) && typeof error['message'] === 'string') {
    const { message, remedy, id } = error;
    return {
      type: 'refused',
      refusal: { message, remedy: textOrNull(remedy), id: textOrNull(id) },
    };
  }
  if (typeof session !== 'string') return { type: 'broken' };
  return { type: 'accepted', session, rest: bytes.subarray(2 + length) };
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
