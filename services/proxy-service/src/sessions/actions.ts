/** What a session may do beside its main stream, by the role options of the decision that opened it. */
import type { RoleOptions } from '@gatehouse/policy';
import type { Action, ActionDecision } from '@gatehouse/protocol-api';

const allowed: ActionDecision = { allowed: true };

/**
 * Actions: `port_forward` {kind: local | remote}, `file_transfer` {direction: upload | download}, `agent_forward` {}.
 * An action that is not known is refused.
 */
export function decideAction(options: RoleOptions, action: Action): ActionDecision {
  switch (action.name) {
    case 'port_forward':
      return decideBy(options.portForwarding, action.data['kind'], 'forwarding');
    case 'file_transfer':
      return decideTransfer(options.fileTransfer, action.data['direction']);
    case 'agent_forward':
      return options.forwardAgent
        ? allowed
        : { allowed: false, message: 'agent forwarding is not allowed' };
    default:
      return { allowed: false, message: `${action.name} is not allowed` };
  }
}

function decideBy(option: string, asked: unknown, what: string): ActionDecision {
  const word = asked === 'remote' ? 'remote' : 'local';
  return option === 'both' || option === word
    ? allowed
    : { allowed: false, message: `${word} ${what} is not allowed` };
}

function decideTransfer(option: RoleOptions['fileTransfer'], direction: unknown): ActionDecision {
  const word = direction === 'upload' ? 'upload' : 'download';
  if (direction === 'any')
    return option === 'none'
      ? { allowed: false, message: 'file transfer is not allowed' }
      : allowed;
  return option === 'both' || option === word
    ? allowed
    : { allowed: false, message: `${word} is not allowed` };
}
