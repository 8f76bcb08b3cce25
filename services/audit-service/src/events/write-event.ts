/** Events of audit-service itself: what somebody does here is in the store before it is done. */
import type { AuditEvent } from '@gatehouse/kit/event-log';

import type { Deps } from '../deps.js';
import { putOwnEvent, removeOwnEvents } from '../store/own-events.js';
import { storeEvents } from './store-events.js';

/**
 * Into the own store; the event log has it later ({@link publishOwnEvents}), and brings it here as a repeat. Where the database
 * fails between the two, it is told of although it was not done: rather one too many than one too few.
 * @throws where it can't be stored: then what it tells of must not be done
 */
export async function writeEvent(
  deps: Pick<Deps, 'clock' | 'coordination' | 'database' | 'days' | 'logger' | 'metrics'>,
  event: AuditEvent,
): Promise<void> {
  const json = JSON.stringify(event);
  await putOwnEvent(deps.database, { id: event.id, event: json });
  const refused = await storeEvents(deps, [{ event, json }]);
  if (refused.size === 0) return;
  await removeOwnEvents(deps.database, [event.id]);
  for (const reason of refused.values()) throw new Error(`${event.type}: ${reason}`);
}
