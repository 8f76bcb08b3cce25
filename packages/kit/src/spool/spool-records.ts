/** Frames of the spool as records of the event log. */
import type { AuditEvent } from '../event-log/audit-event.js';
import { encodeAuditRecord } from '../event-log/audit-event.js';
import { boundEvent } from '../event-log/bounds.js';
import { chunkHeaders } from '../event-log/chunk-record.js';
import type { LogRecord } from '../event-log/types.js';
import { decodeTwoParts, frameKinds, type Frame } from './frame.js';

/** An event that is refused at its full size is tried again at this one. */
const shrunkBytes = 32 * 1024;

/** The record of an event's frame; undefined for frames that are not published. */
export function eventRecord(frame: Frame, source: string): LogRecord | undefined {
  if (frame.kind !== frameKinds.event) return undefined;
  const json = decodeTwoParts(frame.body)?.rest;
  const event = json === undefined ? undefined : parseEvent(json);
  return event === undefined ? undefined : encodeAuditRecord(event, source, json);
}

/** The record of a chunk's frame. */
export function chunkRecord(frame: Frame): LogRecord | undefined {
  if (frame.kind !== frameKinds.chunk) return undefined;
  const parts = decodeTwoParts(frame.body);
  if (parts === undefined) return undefined;
  const metadata = parts.head.toString();
  const key = /"sessionId":"(ses_[0-9a-f]{32})"/.exec(metadata)?.[1];
  return key === undefined
    ? undefined
    : { key, headers: chunkHeaders(metadata), value: parts.rest };
}

/** A smaller record of the same event; undefined where it is small already. */
export function shrinkEvent(record: LogRecord, source: string): LogRecord | undefined {
  const event = record.value.length > shrunkBytes ? parseEvent(record.value) : undefined;
  if (event === undefined) return undefined;
  const bounded = boundEvent(event, shrunkBytes);
  return encodeAuditRecord(bounded.event, source, bounded.json);
}

/** Events in the spool are our own, under a checksum: only what the record needs is looked at. */
function parseEvent(json: Buffer): AuditEvent | undefined {
  try {
    const value: unknown = JSON.parse(json.toString());
    const isEvent =
      typeof value === 'object' &&
      value !== null &&
      'id' in value &&
      'type' in value &&
      'actor' in value;
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by this package, checked by its checksum
    return isEvent ? (value as AuditEvent) : undefined;
  } catch {
    return undefined;
  }
}
