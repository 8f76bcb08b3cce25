/** An audit event: its shape, its record on the log, and its key (contract §4, D25). */
import { isUtf8 } from 'node:buffer';

import { z } from 'zod';

import { eventLogError } from './errors.js';
import type { LogRecord } from './types.js';

const text = z.string().max(4096);

/** @internal shared with chunk records */
export const actorSchema = z.object({
  kind: z.string().min(1).max(64),
  name: text,
  roles: z.array(text).max(256).optional(),
  loginId: text.optional(),
  address: text.optional(),
});

/** @internal shared with chunk records */
export const targetSchema = z.object({
  kind: z.string().min(1).max(64),
  name: text,
  labels: z.record(z.string().max(256), text).optional(),
  agent: text.optional(),
});

/** The JSON value of an audit event. Fields that are not known are kept. */
export const auditEventSchema = z.looseObject({
  id: z.string().regex(/^evt_[0-9a-f]{32}$/),
  type: z
    .string()
    .max(128)
    .regex(/^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$/),
  time: z.iso.datetime().max(40),
  cluster: z.string().min(1).max(256),
  sessionId: z
    .string()
    .regex(/^ses_[0-9a-f]{32}$/)
    .optional(),
  sequence: z.int().min(1).optional(),
  actor: actorSchema,
  target: targetSchema.optional(),
  outcome: z.enum(['success', 'failure', 'denied']),
  reason: text.optional(),
  traceId: z.string().max(64).optional(),
  data: z.record(z.string(), z.unknown()),
});

/** Who did it. */
export interface AuditActor {
  /** `user`, `agent`, `service`, or `unknown` where nobody was authenticated. */
  readonly kind: string;
  readonly name: string;
  readonly roles?: readonly string[];
  readonly loginId?: string;
  /** `ip:port`. */
  readonly address?: string;
}

/** What it was done to. */
export interface AuditTarget {
  readonly kind: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly agent?: string;
}

/** One audit event. Types of events and their data are described by the `events.ts` of their owners. */
export interface AuditEvent {
  /** `evt_…`; the same id is the same event, however often it arrives. */
  readonly id: string;
  readonly type: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly cluster: string;
  readonly sessionId?: string;
  /** From 1 without gaps within a session, in the order in which things happened. */
  readonly sequence?: number;
  readonly actor: AuditActor;
  readonly target?: AuditTarget;
  readonly outcome: 'success' | 'failure' | 'denied';
  readonly reason?: string;
  readonly traceId?: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The key of an event's record: its session, else login, agent, user, cluster. */
export function eventKey(
  event: Pick<AuditEvent, 'sessionId' | 'actor' | 'target' | 'cluster'>,
): string {
  const { actor } = event;
  if (event.sessionId !== undefined) return event.sessionId;
  if (actor.loginId !== undefined) return actor.loginId;
  const agent = actor.kind === 'agent' ? actor.name : event.target?.agent;
  if (agent !== undefined && agent !== '') return agent.slice(0, 256);
  return actor.kind === 'user' && actor.name !== '' ? actor.name.slice(0, 256) : event.cluster;
}

/**
 * An event as a record in CloudEvents 1.0 binary mode.
 * @param source URI of the part that wrote it, for example `gatehouse://home/service/proxy/srv_…`
 * @param json the event as JSON, where the caller has it already
 */
export function encodeAuditRecord(
  event: AuditEvent,
  source: string,
  json?: string | Buffer,
): LogRecord {
  const value = Buffer.isBuffer(json) ? json : Buffer.from(json ?? JSON.stringify(event));
  const headers: Record<string, string> = {
    ce_specversion: '1.0',
    ce_id: event.id,
    ce_type: `com.gatehouse.${event.type}`,
    ce_source: source,
    ce_time: event.time,
    'content-type': 'application/json',
  };
  if (event.traceId !== undefined) headers['ce_traceid'] = event.traceId;
  return { key: eventKey(event), headers, value };
}

/** @throws where it is no UTF-8, or no JSON */
function parseText(bytes: Buffer): unknown {
  // A decoder that checks while it decodes takes ten times as long.
  if (!isUtf8(bytes)) throw new Error('not UTF-8');
  return JSON.parse(bytes.toString());
}

/** @throws EVENT_UNDECODABLE with the reason */
export function decodeAuditRecord(record: Pick<LogRecord, 'value'>): AuditEvent {
  let value: unknown;
  try {
    value = parseText(record.value);
  } catch (thrown) {
    throw eventLogError('EVENT_UNDECODABLE', {
      cause: thrown,
      reason: 'json',
      details: { why: 'broken JSON' },
    });
  }
  const parsed = auditEventSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const why = `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not an event'}`;
    throw eventLogError('EVENT_UNDECODABLE', {
      cause: parsed.error,
      reason: 'shape',
      details: { why },
    });
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the schema has just checked it; they differ in `undefined` only
  return parsed.data as AuditEvent;
}
