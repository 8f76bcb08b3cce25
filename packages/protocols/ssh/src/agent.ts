/** The SSH facet of the agent: a plain connection to an sshd, or the agent's own built-in node (D32). */
import type { AgentProtocol, AgentServices } from '@gatehouse/protocol-api';

import { connectTcp } from './node/connect-tcp.js';
import { connectBuiltinNode } from './node/node.js';
import type { SshSpec } from './target.js';

export function createAgent(services: AgentServices): AgentProtocol<SshSpec> {
  return {
    name: 'ssh',
    connect: (dial) =>
      dial.spec.builtin === true
        ? connectBuiltinNode(services, dial)
        : connectTcp({
            target: dial.target,
            address: dial.spec.address ?? '',
            signal: dial.signal,
          }),
  };
}
