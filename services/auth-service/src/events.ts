/**
 * The audit events of auth-service. Each is a row of the transaction that did what it tells of (D24); a relay hands them
 * to the event log. None of them ever holds a secret.
 */
import {
  eventKey,
  type AuditActor,
  type AuditEvent,
  type AuditTarget,
} from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { currentTraceId } from '@gatehouse/kit/telemetry';

import type { AuditRow } from './store/store.js';

/** Types of auth-service's events with what they tell. */
export const authEvents = {
  'login.succeeded': 'A person logged in. data: {expires, secondFactor}',
  'login.failed':
    'A login failed. reason: bad_password, bad_code, code_replayed, unknown_user, blocked, locked, link',
  'login.blocked': 'A person or an address must wait. data: {subject, until}',
  'logout.done': 'A login was ended by its owner.',
  'mfa.verified': 'A second factor was proven.',
  'mfa.failed': 'A second factor was not proven. reason: bad_code, code_replayed',
  'mfa_device.added': 'A second factor was set up.',
  'mfa_device.removed': 'A second factor was taken away.',
  'certificate.issued': 'Certificates were signed. data: {kinds, expires, …}',
  'certificate.refused': 'A certificate was asked for and not signed.',
  'resource.created': 'A document was made. data: {kind, name, revision}',
  'resource.updated': 'A document was changed. data: {kind, name, revision}',
  'resource.deleted': 'A document was removed. data: {kind, name}',
  'lock.created': 'A lock is in force. data: {name, target, expires}',
  'lock.deleted': 'A lock has ended. reason: deleted, expired',
  'agent.joined': 'An agent joined. data: {agent, group, token}',
  'agent.join_refused':
    'An agent was refused. reason: forged, used, expired, wrong_kind, name_taken, group',
  'agent.connected': 'The first tunnel of an agent stands. data: {tunnel}',
  'agent.disconnected': 'The last tunnel of an agent is gone.',
  'connection.refused':
    'Something was asked that is not the caller’s. reason: not_yours, old_generation, …',
  'target.trust_changed':
    'An agent showed other host keys for a target; they wait for an administrator.',
  'limit.reached': 'A session was refused for max_sessions. data: {limit}',
  'audit.events_counted':
    'Equal events were counted rather than written. data: {type, count, first, last}',
} as const;

export type AuthEventType = keyof typeof authEvents;

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

/** Makes rows of drafts; one per service. */
export function createEventWriter(cluster: string): (draft: EventDraft, now: Date) => AuditRow {
  return (draft, now) => {
    const traceId = currentTraceId();
    const event: AuditEvent = {
      id: createId('evt', now.getTime()),
      type: draft.type,
      time: now.toISOString(),
      cluster,
      ...(draft.sessionId === undefined ? {} : { sessionId: draft.sessionId }),
      actor: { ...draft.actor, name: boundText(draft.actor.name) },
      ...(draft.target === undefined ? {} : { target: draft.target }),
      outcome: draft.outcome,
      ...(draft.reason === undefined ? {} : { reason: draft.reason }),
      ...(traceId === undefined ? {} : { traceId }),
      data: draft.data ?? {},
    };
    return { logKey: eventKey(event), event: JSON.stringify(event) };
  };
}

/** Text from outside in a bounded, storable form: no NUL, no lone surrogates. */
export function boundText(text: string): string {
  return text.slice(0, maxNameChars).toWellFormed().replaceAll('\0', '\u2400');
}

/** Somebody who has not proven who they are. */
export function unknownActor(name: string, address: string): AuditActor {
  return { kind: 'unknown', name: boundText(name), address };
}

/** auth-service itself. */
export const systemActor: AuditActor = { kind: 'service', name: 'auth-service' };
