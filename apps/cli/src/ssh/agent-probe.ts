/** Does an ssh-agent answer? One that hangs would hang every ssh. */
import { connect } from 'node:net';

/** SSH_AGENTC_REQUEST_IDENTITIES (draft-ietf-sshm-ssh-agent §5.1) with its length. */
const requestIdentities = Buffer.from([0, 0, 0, 1, 11]);

/** True when the agent at `path` says anything within `timeoutMs`. */
export async function isAgentAlive(path: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const done = (isAlive: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(isAlive);
    };
    const timer = setTimeout(() => done(false), timeoutMs);
    socket.once('connect', () => socket.write(requestIdentities));
    socket.once('data', () => done(true));
    socket.once('end', () => done(false));
    socket.once('error', () => done(false));
  });
}
