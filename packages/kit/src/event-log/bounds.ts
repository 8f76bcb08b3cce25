/**
 * Bounds of an event (D25): at most 128 KiB as JSON, each text of its data at most 64 KiB, no characters that a store
 * refuses. What is cut stays accounted for: `data.trimmed` lists size and SHA-256 of the whole, `data.escapedFields`
 * the paths whose text is written with escapes.
 */
import { createHash } from 'node:crypto';

import type { AuditEvent } from './audit-event.js';
import { bytesOfText, escapeText, needsEscape } from './byte-text.js';

/** Largest event, bytes of JSON. */
export const maxEventBytes = 128 * 1024;
/** Largest text within an event's data, bytes. */
export const maxTextBytes = 64 * 1024;
/** Largest text outside the data (names, reason), bytes. */
const maxNameBytes = 1024;
const maxDepth = 16;
const smallestTextBytes = 256;

/** A text that was cut. */
export interface TrimmedField {
  /** Path within the event, for example `data.statement`. */
  readonly path: string;
  /** Bytes of the whole. */
  readonly bytes: number;
  /** SHA-256 of the whole, hex. */
  readonly sha256: string;
}

export interface BoundedEvent {
  readonly event: AuditEvent;
  readonly json: string;
  /** Empty where nothing was cut. */
  readonly trimmed: readonly TrimmedField[];
}

/** The event within its bounds; an event that is within them comes back as it is. Never throws. */
export function boundEvent(event: AuditEvent, limitBytes: number = maxEventBytes): BoundedEvent {
  const json = stringify(event);
  if (json !== undefined && isPlain(event, json, limitBytes)) return { event, json, trimmed: [] };
  for (
    let textBytes = Math.min(maxTextBytes, limitBytes / 2);
    textBytes >= smallestTextBytes;
    textBytes /= 4
  ) {
    const bounded = rewrite(event, textBytes);
    if (Buffer.byteLength(bounded.json) <= limitBytes) return bounded;
  }
  return withoutData(event, json ?? '');
}

/** Data of the `audit.event_trimmed` that follows a trimmed event. */
export function trimmedNote(bounded: BoundedEvent): Readonly<Record<string, unknown>> {
  return {
    eventId: bounded.event.id,
    eventType: bounded.event.type,
    fields: bounded.trimmed.slice(0, 64),
  };
}

function stringify(event: AuditEvent): string | undefined {
  try {
    return JSON.stringify(event);
  } catch {
    return undefined;
  }
}

/** Small enough as a whole, no text too long, and nothing that JSON had to write as NUL or a lone surrogate. */
function isPlain(event: AuditEvent, json: string, limitBytes: number): boolean {
  if (/\\u(?:0000|d[89a-f])/.test(json)) return false;
  if (json.length * 3 <= maxNameBytes) return true;
  if (Buffer.byteLength(json) > Math.min(limitBytes, maxTextBytes)) return false;
  return !Object.entries(event).some(([key, value]) => key !== 'data' && hasLongText(value, 0));
}

/** A text beyond a name's length somewhere in a small value. */
function hasLongText(value: unknown, depth: number): boolean {
  if (typeof value === 'string')
    return value.length * 3 > maxNameBytes && Buffer.byteLength(value) > maxNameBytes;
  if (typeof value !== 'object' || value === null) return false;
  return depth < maxDepth && Object.values(value).some((item) => hasLongText(item, depth + 1));
}

interface Rewriting {
  readonly trimmed: TrimmedField[];
  readonly escaped: string[];
  readonly textBytes: number;
}

function rewrite(event: AuditEvent, textBytes: number): BoundedEvent {
  const work: Rewriting = { trimmed: [], escaped: [], textBytes };
  const outer: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(event)) {
    if (key !== 'data')
      outer[key] = rewriteValue({ ...work, textBytes: maxNameBytes }, value, [key]);
  }
  const data = rewriteValue(work, event.data, ['data']);
  const notes = {
    ...(work.trimmed.length === 0 ? {} : { trimmed: work.trimmed.slice(0, 64) }),
    ...(work.escaped.length === 0 ? {} : { escapedFields: work.escaped.slice(0, 64) }),
  };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same fields with the same types, only shorter
  const bounded = { ...outer, data: { ...(data as object), ...notes } } as unknown as AuditEvent;
  return { event: bounded, json: JSON.stringify(bounded), trimmed: work.trimmed };
}

function rewriteValue(work: Rewriting, value: unknown, path: readonly string[]): unknown {
  if (typeof value === 'string') return rewriteText(work, value, path.join('.'));
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (path.length > maxDepth) return '[too deep]';
  if (Array.isArray(value))
    return value.map((item, index) => rewriteValue(work, item, [...path, String(index)]));
  const rewritten: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const name = needsEscape(key) ? escapeText(key) : key;
    rewritten[name.slice(0, maxNameBytes)] = rewriteValue(work, item, [...path, name.slice(0, 64)]);
  }
  return rewritten;
}

function rewriteText(work: Rewriting, text: string, path: string): string {
  const cut = cutText(text, work.textBytes);
  if (cut !== text) {
    const whole = bytesOfText(text);
    work.trimmed.push({
      path,
      bytes: whole.length,
      sha256: createHash('sha256').update(whole).digest('hex'),
    });
  }
  if (!needsEscape(cut)) return cut;
  work.escaped.push(path);
  return escapeText(cut);
}

/** The longest beginning of at most `bytes` bytes of UTF-8 that splits no character. */
function cutText(text: string, bytes: number): string {
  if (text.length * 3 <= bytes || Buffer.byteLength(text) <= bytes) return text;
  let end = Math.min(text.length, bytes);
  let size = Buffer.byteLength(text.slice(0, end));
  while (size > bytes) {
    const step = Math.max(1, Math.floor((size - bytes) / 3));
    size -= Buffer.byteLength(text.slice(end - step, end));
    end -= step;
  }
  const last = text.charCodeAt(end - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? end - 1 : end);
}

function withoutData(event: AuditEvent, json: string): BoundedEvent {
  const whole = Buffer.from(json);
  const trimmed = [
    { path: 'data', bytes: whole.length, sha256: createHash('sha256').update(whole).digest('hex') },
  ];
  const bounded = rewrite({ ...withoutLists(event), data: { trimmed } }, smallestTextBytes);
  return { ...bounded, trimmed };
}

/** Without what may have any number of parts: roles, labels, fields that nobody knows. */
function withoutLists(event: AuditEvent): AuditEvent {
  const { id, type, time, cluster, sessionId, sequence, actor, target, ...rest } = event;
  const { roles: _roles, ...who } = actor;
  const { labels: _labels, ...what } = target ?? { kind: '', name: '' };
  const { outcome, reason, traceId, data } = rest;
  return {
    id,
    type,
    time,
    cluster,
    ...(sessionId !== undefined && { sessionId }),
    ...(sequence !== undefined && { sequence }),
    actor: who,
    ...(target !== undefined && { target: what }),
    outcome,
    ...(reason !== undefined && { reason }),
    ...(traceId !== undefined && { traceId }),
    data,
  };
}
