/** Events of audit-service itself: what somebody does here is in the store before it is done. */
import { encodeAuditRecord, topics, type AuditEvent } from '@gatehouse/kit/event-log';
import { runInBackground } from '@gatehouse/kit/lifecycle';

import type { Deps } from '../deps.js';
import { storeEvents } from './store-events.js';

/**
 * Into the own store first; the event log follows, and brings it here as a repeat.
 * @throws where it can't be stored: then what it tells of must not be done
 */
export async function writeEvent(deps: Deps, event: AuditEvent): Promise<void> {
  const refused = await storeEvents(deps, [{ event, json: JSON.stringify(event) }]);
  for (const reason of refused.values()) throw new Error(`${event.type}: ${reason}`);
  const source = `gatehouse://${deps.clusterName}/service/audit/${deps.replicaId}`;
  const publish = async () =>
    deps.eventLog.publish(topics.audit, [encodeAuditRecord(event, source)]);
  runInBackground(publish, deps.logger, `${event.type} could not be published`);
}
