import type { EventTable } from '@gatehouse/protocol-api';

/** A relayed connection has only the host's own events: session.started and session.ended. */
export const events: EventTable = {};
