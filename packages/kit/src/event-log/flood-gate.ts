/**
 * Failures that come in floods are counted rather than written one by one (AUD-10, API-08): the first few of an actor in
 * a window are events, the rest become one `audit.events_counted` {type, count, first, last} when the window ends.
 * Different actors are never merged, as long as there are not more than the table holds; then those of one address are,
 * and beyond twice as many all of one type.
 */
import type { Clock } from '../clock/clock.js';
import type { AuditActor, AuditEvent } from './audit-event.js';

/** What the gate reads of an event that may be one of a flood. */
export interface FloodDraft {
  readonly type: string;
  readonly actor: AuditActor;
  readonly outcome: AuditEvent['outcome'];
  readonly reason?: string | undefined;
}

/** What took the place of the events that were only counted. */
export interface CountedEvents extends FloodDraft {
  readonly type: 'audit.events_counted';
  readonly data: Readonly<Record<string, unknown>>;
}

export interface FloodGate {
  /** True: write the event. False: it was counted. */
  admit(draft: FloodDraft): boolean;
  /** What windows that have ended counted; with `all` also those still open. */
  collect(all?: boolean): CountedEvents[];
}

const windowMs = 60_000;
const eventsPerWindow = 10;
const maxActors = 5_000;

interface Window {
  readonly draft: FloodDraft;
  /** By the monotonic clock: the other may be set. */
  readonly opensAtMs: number;
  seen: number;
  counted: number;
  firstMs: number;
  lastMs: number;
}

/** A gate of one process. */
export function createFloodGate(clock: Clock): FloodGate {
  const windows = new Map<string, Window>();
  return {
    admit(draft) {
      const nowMs = clock.now();
      const known = findWindow(windows, draft) ?? openWindow(windows, draft, clock);
      known.seen += 1;
      if (known.seen <= eventsPerWindow) return true;
      if (known.counted === 0) known.firstMs = nowMs;
      known.counted += 1;
      known.lastMs = nowMs;
      return false;
    },
    collect(all = false) {
      const nowMs = clock.monotonic();
      const drafts: CountedEvents[] = [];
      for (const [key, entry] of windows) {
        if (!all && nowMs - entry.opensAtMs < windowMs) continue;
        windows.delete(key);
        if (entry.counted > 0) drafts.push(summarize(entry));
      }
      return drafts;
    },
  };
}

function findWindow(windows: Map<string, Window>, draft: FloodDraft): Window | undefined {
  const keys = [fullKey(draft), addressKey(draft), draft.type];
  return keys.map((key) => windows.get(key)).find((window) => window !== undefined);
}

function openWindow(windows: Map<string, Window>, draft: FloodDraft, clock: Clock): Window {
  const [key, actor] =
    windows.size < maxActors
      ? [fullKey(draft), draft.actor]
      : windows.size < 2 * maxActors
        ? [addressKey(draft), { kind: 'unknown', name: '', ...addressOf(draft) }]
        : [draft.type, { kind: 'unknown', name: '' }];
  const nowMs = clock.now();
  const entry = {
    draft: { ...draft, actor },
    opensAtMs: clock.monotonic(),
    seen: 0,
    counted: 0,
    firstMs: nowMs,
    lastMs: nowMs,
  };
  windows.set(key, entry);
  return entry;
}

function addressOf({ actor }: FloodDraft): { address?: string } {
  return actor.address === undefined ? {} : { address: actor.address.replace(/:\d+$/, '') };
}

function fullKey(draft: FloodDraft): string {
  return JSON.stringify([
    draft.type,
    draft.actor.kind,
    draft.actor.name,
    addressOf(draft).address,
    draft.reason,
  ]);
}

function addressKey(draft: FloodDraft): string {
  return JSON.stringify([draft.type, addressOf(draft).address]);
}

function summarize({ draft, counted, firstMs, lastMs }: Window): CountedEvents {
  return {
    type: 'audit.events_counted',
    actor: draft.actor,
    outcome: draft.outcome,
    reason: draft.reason,
    data: {
      type: draft.type,
      count: counted,
      first: new Date(firstMs).toISOString(),
      last: new Date(lastMs).toISOString(),
    },
  };
}
