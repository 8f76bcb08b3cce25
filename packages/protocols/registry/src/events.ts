// Written by tools/generate-registry.ts from the folders under packages/protocols.
import type { EventTable } from '@gatehouse/protocol-api';
import { events as postgres } from '@gatehouse/protocol-postgres/events';
import { events as ssh } from '@gatehouse/protocol-ssh/events';
import { events as tcp } from '@gatehouse/protocol-tcp/events';

/** The registry: the audit events of each protocol. */
export const protocolEvents: Readonly<Record<string, EventTable>> = { postgres, ssh, tcp };
