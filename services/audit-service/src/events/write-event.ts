/** Events of audit-service itself: what somebody does here is in the store before it is done. */
import { encodeAuditRecord, topics, type AuditEvent } from '@gatehouse/kit/event-log';
import { runInBackground } from '@gatehouse/kit/lifecycle';

import type { Deps } from '../deps.js';
import { storeEvents } from './store-events.js';

/** Into the own store first, which must succeed; the event log follows, and brings it here as a repeat. */
export async function writeEvent(deps: Deps, event: AuditEvent): Promise<void> {
  await storeEvents(deps, [{ event, json: JSON.stringify(event) }]);
  const source = `gatehouse://${deps.clusterName}/service/audit/${deps.replicaId}`;
  const publish = async () =>
    deps.eventLog.publish(topics.audit, [encodeAuditRecord(event, source)]);
  runInBackground(publish, deps.logger, `${event.type} could not be published`);
}
