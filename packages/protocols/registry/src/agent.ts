// Written by tools/generate-registry.ts from the folders under packages/protocols.
import type { AgentProtocol, AgentServices } from '@gatehouse/protocol-api';
import { createAgent as postgres } from '@gatehouse/protocol-postgres/agent';
import { createAgent as ssh } from '@gatehouse/protocol-ssh/agent';

/** The registry: how an agent reaches each kind of target; a protocol without an entry is a plain TCP dial. */
export const agentProtocols: Readonly<Record<string, (services: AgentServices) => AgentProtocol>> =
  { postgres, ssh };
