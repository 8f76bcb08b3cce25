import { describe, expect, it } from 'vitest';

import type { ChannelOpen } from '../wire/connection.js';
import { RelayChannel } from './channel.js';
import { handleNodeOpen } from './forwards.js';
import type { Relay } from './relay.js';

/** A relay whose user has asked for port 8080 of the node and for agents. */
function createRelay() {
  const options = { portForwarding: 'both', forwardAgent: true };
  const denied: { type: string; data: Record<string, unknown> }[] = [];
  const outcomes: string[] = [];
  const relay = {
    session: { options, activity: () => undefined, emit: () => undefined },
    agentGranted: true,
    remoteForwards: new Set(['port 8080', 'path /run/x']),
    user: { send: () => outcomes.push('passed') },
    refuseOpen: () => outcomes.push('refused'),
    emitDenied: (type: string, data: Record<string, unknown>) => denied.push({ type, data }),
    track: () => undefined,
    addNodeChannel: ({ type, address }: ChannelOpen) =>
      new RelayChannel({
        type,
        userId: -1,
        address,
        openedMs: 0,
        sendToUser: () => undefined,
      }),
  };
  const open = (type: string, address?: ChannelOpen['address']) => {
    const asked = {
      type,
      sender: 1,
      window: 1000,
      maxPacket: 1000,
      windowOffset: 0,
      ...(address && { address }),
    };
    handleNodeOpen(relay as unknown as Relay, asked, Buffer.alloc(0));
    return outcomes.pop();
  };
  return { options, denied, open };
}

const port = { host: 'localhost', port: 8080 };

describe('a channel that the node opens', () => {
  it('passes when it was asked for and the role still allows it', () => {
    const { open, denied } = createRelay();
    expect(open('forwarded-tcpip', port)).toBe('passed');
    expect(open('forwarded-streamlocal@openssh.com', { path: '/run/x' })).toBe('passed');
    expect(open('auth-agent@openssh.com')).toBe('passed');
    expect(open('forwarded-tcpip', { host: 'localhost', port: 1 })).toBe('refused');
    expect(denied).toEqual([]);
  });

  it.each(['none', 'local'])('is refused when port_forwarding has become %s', (portForwarding) => {
    const { options, open, denied } = createRelay();
    options.portForwarding = portForwarding;
    expect(open('forwarded-tcpip', port)).toBe('refused');
    expect(open('forwarded-streamlocal@openssh.com', { path: '/run/x' })).toBe('refused');
    expect(denied).toEqual([
      { type: 'ssh.forward_denied', data: { kind: 'remote', ...port } },
      { type: 'ssh.forward_denied', data: { kind: 'remote', path: '/run/x' } },
    ]);
  });

  it('to the agent is refused when forward_agent was taken away', () => {
    const { options, open, denied } = createRelay();
    options.forwardAgent = false;
    expect(open('auth-agent@openssh.com')).toBe('refused');
    expect(denied).toEqual([
      { type: 'ssh.request_denied', data: { name: 'auth-agent', what: 'channel' } },
    ]);
  });
});
