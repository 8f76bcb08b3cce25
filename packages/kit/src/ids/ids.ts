/** Ids of everything that has one: a prefix that says what it is, and a UUIDv7 (RFC 9562 §5.7), so ids sort by time. */
import { randomFillSync } from 'node:crypto';

/** usr user · ses session · lgn login · rec recording · tgt target · crt certificate · agt agent · srv one start of a
 *  service replica · req access request · evt audit event · err refusal · lck lock · inv invite · tok join token. */
export type IdPrefix =
  | 'usr'
  | 'ses'
  | 'lgn'
  | 'rec'
  | 'tgt'
  | 'crt'
  | 'agt'
  | 'srv'
  | 'req'
  | 'evt'
  | 'err'
  | 'lck'
  | 'inv'
  | 'tok';

export type Id<Prefix extends IdPrefix = IdPrefix> = `${Prefix}_${string}`;

/** So far ahead of the clock ids may be to keep their order; beyond it the clock was wrong before, and was set. */
const maxAheadMs = 60_000;
let lastMs = 0;
let sequence = 0;
const uuid = Buffer.alloc(16);
const randomBytes = 8;
/** Asking the system costs more than making the rest of an id, so it is asked for many at a time; each byte is used once. */
const random = Buffer.alloc(512 * randomBytes);
let usedBytes = random.length;

/** A new id. Ids made by one process sort in the order in which they were made, unless its clock is set back by more than a minute. */
export function createId<Prefix extends IdPrefix>(
  prefix: Prefix,
  nowMs: number = Date.now(),
): Id<Prefix> {
  return `${prefix}_${createUuidV7(nowMs)}`;
}

/** True for text of the form `prefix_` + 32 hexadecimal digits. */
export function isId<Prefix extends IdPrefix>(prefix: Prefix, text: string): text is Id<Prefix> {
  return (
    text.length === prefix.length + 33 &&
    text.startsWith(`${prefix}_`) &&
    /_[0-9a-f]{32}$/.test(text)
  );
}

/** The time (ms since the epoch) at which an id was made. */
export function idTime(id: string): number {
  return Number.parseInt(id.slice(4, 16), 16);
}

function createUuidV7(nowMs: number): string {
  if (nowMs > lastMs || nowMs < lastMs - maxAheadMs) {
    lastMs = nowMs;
    sequence = 0;
  } else {
    sequence += 1;
    if (sequence > 0xfff) {
      lastMs += 1;
      sequence = 0;
    }
  }
  if (usedBytes === random.length) {
    randomFillSync(random);
    usedBytes = 0;
  }
  uuid.writeUIntBE(lastMs, 0, 6);
  uuid.writeUInt16BE(0x7000 | sequence, 6);
  usedBytes += random.copy(uuid, 8, usedBytes, usedBytes + randomBytes);
  uuid.writeUInt8((uuid.readUInt8(8) & 0x3f) | 0x80, 8);
  return uuid.toString('hex');
}
