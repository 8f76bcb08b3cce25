/** The SSH facet of the agent: a plain connection to an sshd, or the agent's own built-in node (D32). */
import type { AgentProtocol, AgentServices } from '@gatehouse/protocol-api';

import { connectTcp } from './node/connect-tcp.js';
import type { SshSpec } from './target.js';

export function createAgent(services: AgentServices): AgentProtocol<SshSpec> {
  return {
    name: 'ssh',
    connect: (dial) => connectTcp(dial.target, dial.spec.address ?? '', dial.signal),
  };
}
