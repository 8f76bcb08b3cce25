import type { AuditEvent } from '../event-log/audit-event.js';
import { createId } from '../ids/ids.js';

/** An event as some proxy could have written it, with a new id. */
export function makeEvent(fields: Partial<AuditEvent> = {}): AuditEvent {
  return {
    id: createId('evt'),
    type: 'ssh.command_started',
    time: '2026-11-26T00:00:00.000Z',
    cluster: 'test',
    actor: { kind: 'user', name: 'alice' },
    outcome: 'success',
    data: {},
    ...fields,
  };
}
