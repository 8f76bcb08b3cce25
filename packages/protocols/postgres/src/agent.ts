/**
 * The facet of the agent: logs in to the database as the grant says, with credentials that never leave the agent. The stream
 * begins behind AuthenticationOk: ParameterStatus, BackendKeyData, ReadyForQuery (PostgreSQL §55.2.1).
 */
import { PassThrough, type Duplex } from 'node:stream';

import type { AgentDial, AgentProtocol, AgentServices } from '@gatehouse/protocol-api';
import { z } from 'zod';

import { cancelStatement, logIn } from './agent/log-in.js';
import type { PostgresSpec } from './target.js';

/** What the proxy's facet asks for: a session of its own, or the end of what one does. */
export const dialDetails = z.union([
  z.strictObject({
    /** Of the StartupMessage, without `user`, which is the principal. */
    parameters: z.record(z.string(), z.string()),
  }),
  z.strictObject({
    /** As BackendKeyData of the session had it. */
    cancel: z.strictObject({ processId: z.int(), secretKey: z.int() }),
  }),
]);

export function createAgent(services: AgentServices): AgentProtocol<PostgresSpec> {
  return { name: 'postgres', connect: (dial) => connect(services, dial) };
}

async function connect(services: AgentServices, dial: AgentDial<PostgresSpec>): Promise<Duplex> {
  const details = dialDetails.parse(dial.details);
  if ('parameters' in details) return logIn(services, dial, details.parameters);
  await cancelStatement(services, dial, details.cancel);
  return new PassThrough().end();
}
