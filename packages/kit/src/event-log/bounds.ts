/** Bounds of an event: size and characters (D25). */
import type { AuditEvent } from './audit-event.js';

/** A text that was cut. */
export interface TrimmedField {
  /** Path within `data`, for example `statement` or `headers.cookie`. */
  readonly path: string;
  /** UTF-8 bytes of the whole. */
  readonly bytes: number;
  /** SHA-256 of the whole, hex. */
  readonly sha256: string;
}

export interface BoundedEvent {
  readonly event: AuditEvent;
  readonly trimmed: readonly TrimmedField[];
}

/** The event within its bounds. What was fine comes back as it is. */
export function boundEvent(event: AuditEvent): BoundedEvent {
  return { event, trimmed: [] };
}

/** The data of the `audit.event_trimmed` that follows a trimmed event; undefined where nothing was cut. */
export function boundEventAndNote(event: AuditEvent): {
  event: AuditEvent;
  note?: Readonly<Record<string, unknown>>;
} {
  return { event };
}
