/** Values of options that several commands share. */
import { parseDurationMs } from '@gatehouse/kit/clock';

import { usageError } from './errors.js';

/** `1h` as ms. @throws USAGE for zero, negative and other texts */
export function parseDurationOption(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms > 0) return ms;
  throw usageError(`${flag}: "${text}" is no duration; write it like 90s, 15m, 8h or 30d`);
}

/** Milliseconds as a protobuf Duration in whole seconds, rounded up. */
export function toDuration(ms: number): { readonly seconds: bigint; readonly nanos: 0 } {
  return { seconds: BigInt(Math.ceil(ms / 1000)), nanos: 0 };
}

/** `k=v` pairs as an object; a later one of the same key wins. @throws USAGE */
export function parsePairs(
  flag: string,
  pairs: readonly string[],
): Readonly<Record<string, string>> {
  const entries = pairs.map((pair) => {
    const index = pair.indexOf('=');
    if (index < 1) throw usageError(`${flag}: "${pair}" is not KEY=VALUE`);
    return [pair.slice(0, index), pair.slice(index + 1)] as const;
  });
  return Object.fromEntries(entries);
}

/** A whole number between bounds. @throws USAGE */
export function parseCountOption(
  flag: string,
  text: string | undefined,
  max: number,
): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= max) return count;
  throw usageError(`${flag}: "${text}" is no number from 1 to ${max}`);
}

/** RFC 3339 as a Date. @throws USAGE */
export function parseTimeOption(flag: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(text);
  const time = new Date(text);
  if (isTime && !Number.isNaN(time.getTime())) return time;
  throw usageError(`${flag}: "${text}" is no time; write it like 2026-11-25T12:00:00Z`);
}
