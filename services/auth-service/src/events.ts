/**
 * The audit events of auth-service. Each is a row of the transaction that did what it tells of (D24); a relay hands them
 * to the event log. None of them ever holds a secret.
 */
import {
  boundEvent,
  eventKey,
  type AuditActor,
  type AuditEvent,
  type AuditTarget,
} from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { currentTraceId } from '@gatehouse/kit/telemetry';
import type { EventTable } from '@gatehouse/protocol-api';
import { z } from 'zod';

import type { AuditRow } from './store/store.js';

const expires = z.string().describe('RFC 3339');
const resource = z.object({
  kind: z.string(),
  name: z.string(),
  revision: z.number().optional(),
  reset: z.boolean().optional().describe('factors and logins were taken away'),
  expires: expires.optional(),
});
const device = z.object({ user: z.string(), device: z.string().describe('totp') });
const lock = z.object({
  name: z.string(),
  kind: z.string().optional(),
  spec: z.record(z.string(), z.unknown()).optional().describe('as in the lock document'),
});
const nothing = z.object({});

/** Types that auth-service owns, with what their data are. */
export const authEvents = {
  'login.succeeded': {
    description: 'A person logged in.',
    data: z.object({ expires, secondFactor: z.enum(['totp', 'none']) }),
  },
  'login.failed': {
    description:
      'A login or a link was refused. Reason: bad_password, bad_code, code_replayed, unknown_user, blocked, locked, link, wrong_kind.',
    data: nothing,
  },
  'login.blocked': {
    description: 'From now on a person or an address must wait.',
    data: z.object({
      subject: z.enum(['user', 'address']),
      until: expires.optional(),
      address: z.string().optional(),
    }),
  },
  'logout.done': { description: 'A person ended a login.', data: nothing },
  'mfa.verified': {
    description: 'A second factor was proven.',
    data: z.object({ secondFactor: z.string() }),
  },
  'mfa.failed': {
    description: 'A second factor was not proven. Reason: bad_code, code_replayed.',
    data: nothing,
  },
  'mfa_device.added': { description: 'A second factor was set up.', data: device },
  'mfa_device.removed': { description: 'A second factor was taken away.', data: device },
  'password.set': {
    description: 'A person set their password by a link.',
    data: z.object({ user: z.string(), link: z.enum(['first_administrator', 'invite', 'reset']) }),
  },
  'certificate.issued': {
    description: 'Certificates were signed: by login, renewal, enrollment, or for a target.',
    data: z.object({
      kinds: z.array(z.string()).describe('the authorities that signed'),
      expires,
      reissued: z.boolean().optional(),
      route: z.record(z.string(), z.string()).optional(),
      proxy: z.string().optional().describe('srv_…, who holds it'),
      renewed: z.boolean().optional().describe('without a new proof'),
      service: z.string().optional(),
      agent: z.string().optional(),
      generation: z.number().optional(),
    }),
  },
  'certificate.refused': {
    description: 'A certificate was asked for and not signed.',
    data: z.object({ kinds: z.array(z.string()), message: z.string() }),
  },
  'resource.created': { description: 'A document was made.', data: resource },
  'resource.updated': { description: 'A document was changed.', data: resource },
  'resource.deleted': { description: 'A document was removed.', data: resource },
  'lock.created': { description: 'A lock is in force.', data: lock },
  'lock.deleted': { description: 'A lock has ended. Reason: deleted, expired.', data: lock },
  'agent.joined': {
    description: 'An agent joined.',
    data: z.object({ agent: z.string(), group: z.string(), token: z.string(), expires }),
  },
  'agent.join_refused': {
    description:
      'An agent was refused. Reason: forged, used, expired, wrong_kind, name_taken, group.',
    data: nothing,
  },
  'agent.connected': {
    description: 'The first tunnel of an agent stands.',
    data: z.object({ agent: z.string(), tunnel: z.string().optional().describe('srv_…') }),
  },
  'agent.disconnected': {
    description: 'The last tunnel of an agent is gone.',
    data: z.object({ agent: z.string(), tunnel: z.string().optional().describe('srv_…') }),
  },
  'session.end_requested': {
    description: 'A person told a session to end, their own or another’s; its proxy ends it.',
    data: z.object({ session: z.string().describe('ses_…'), user: z.string().describe('whose') }),
  },
  'target.trust_changed': {
    description: 'An agent showed other host keys for a target; they wait for an administrator.',
    data: z.object({ message: z.string() }),
  },
  'audit.events_counted': {
    description: 'Equal events were counted rather than written one by one.',
    data: z.object({ type: z.string(), count: z.number(), first: expires, last: expires }),
  },
} as const satisfies EventTable;

/** The host's types that auth-service also writes, with the host's data. */
type HostEventType = 'connection.refused' | 'limit.reached';

export type AuthEventType = keyof typeof authEvents | HostEventType;

export interface EventDraft {
  readonly type: AuthEventType;
  readonly actor: AuditActor;
  readonly target?: AuditTarget;
  readonly outcome: AuditEvent['outcome'];
  readonly reason?: string | undefined;
  readonly sessionId?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Longest text of a name in an event that came from outside. */
const maxNameChars = 256;
/** Readers of the log take no longer ones. */
const maxKindChars = 64;
const maxRoles = 256;

/** Makes rows of drafts, whatever length their texts have, that readers of the log can decode; one per service. */
export function createEventWriter(cluster: string): (draft: EventDraft, now: Date) => AuditRow {
  return (draft, now) => {
    const traceId = currentTraceId();
    const { event, json } = boundEvent({
      id: createId('evt', now.getTime()),
      type: draft.type,
      time: now.toISOString(),
      cluster,
      ...(draft.sessionId === undefined ? {} : { sessionId: draft.sessionId }),
      actor: boundActor(draft.actor),
      ...(draft.target === undefined ? {} : { target: boundTarget(draft.target) }),
      outcome: draft.outcome,
      ...(draft.reason === undefined ? {} : { reason: draft.reason }),
      ...(traceId === undefined ? {} : { traceId }),
      data: draft.data ?? {},
    });
    return { logKey: eventKey(event), event: json };
  };
}

function boundActor(actor: AuditActor): AuditActor {
  const { name, roles } = actor;
  return {
    ...actor,
    name: boundText(name, maxNameChars),
    ...(roles === undefined ? {} : { roles: roles.slice(0, maxRoles) }),
  };
}

function boundTarget(target: AuditTarget): AuditTarget {
  return { ...target, kind: boundText(target.kind, maxKindChars) || 'unknown' };
}

/** Text from outside in a bounded, storable form: no NUL, no lone surrogates. */
function boundText(text: string, maxChars: number): string {
  return text.slice(0, maxChars).toWellFormed().replaceAll('\0', '\u2400');
}

/** Somebody who has not proven who they are. */
export function unknownActor(name: string, address: string): AuditActor {
  return { kind: 'unknown', name: boundText(name, maxNameChars), address };
}

/** auth-service itself. */
export const systemActor: AuditActor = { kind: 'service', name: 'auth-service' };
