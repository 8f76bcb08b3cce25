/** Records of the audit topic become events that the store takes; what is none goes to the dead letters with a reason. */
import { setImmediate } from 'node:timers/promises';

import { toGatehouseError } from '@gatehouse/kit/errors';
import { boundEvent, decodeAuditRecord, type StoredRecord } from '@gatehouse/kit/event-log';

import type { DeadLetter } from '../dead-letters.js';
import type { StorableEvent } from '../store/events.js';

/** Why an event of a type that this release does not know is a dead letter; a later release finds it by this. */
export function unknownTypeReason(type: string): string {
  return `unknown_type: ${type}`;
}

export interface DecodedRecords {
  /** In their order, each with the record that it came in. */
  readonly events: Map<StorableEvent, StoredRecord>;
  readonly letters: DeadLetter[];
}

/** Between so many records the event loop goes on: another batch holds the store's lock meanwhile. */
const recordsAtOnce = 50;

/** @param eventTypes the types that are known */
export async function decodeRecords(
  records: readonly StoredRecord[],
  eventTypes: ReadonlySet<string>,
): Promise<DecodedRecords> {
  const events = new Map<StorableEvent, StoredRecord>();
  const letters: DeadLetter[] = [];
  for (const [index, record] of records.entries()) {
    if (index % recordsAtOnce === recordsAtOnce - 1) await setImmediate();
    const decoded = decodeRecord(record, eventTypes);
    if (typeof decoded === 'string') letters.push({ record, reason: decoded });
    else events.set(decoded, record);
  }
  return { events, letters };
}

/** The event, or why it is none. */
function decodeRecord(
  record: StoredRecord,
  eventTypes: ReadonlySet<string>,
): StorableEvent | string {
  const { ce_specversion: version, ce_type: type } = record.headers;
  if (version !== undefined && version !== '1.0')
    return `version: CloudEvents ${version.slice(0, 64)}`;
  try {
    const event = decodeAuditRecord(record);
    if (type !== undefined && type !== `com.gatehouse.${event.type}`)
      return `type: CloudEvents ${type.slice(0, 128)}`;
    return eventTypes.has(event.type) ? boundEvent(event) : unknownTypeReason(event.type);
  } catch (thrown) {
    const { reason = 'unknown', message } = toGatehouseError(thrown);
    return `${reason}: ${message}`;
  }
}
