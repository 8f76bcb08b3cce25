import { duplexPair } from 'node:stream';

import { describe, expect, it } from 'vitest';

import { disconnectReason } from '../errors.js';
import { targetFacing } from '../transport/algorithms.js';
import { SshTransport } from '../transport/transport.js';
import { ConnectionEndpoint } from './endpoint.js';

describe('an endpoint', () => {
  it('opens no channel when its connection has ended', async () => {
    const [socket] = duplexPair();
    const transport = new SshTransport({
      socket,
      offer: targetFacing,
      client: { hostKeyAlgorithms: ['ssh-ed25519'], verifyHostKey: () => true },
    });
    const endpoint = new ConnectionEndpoint(transport, {
      onOpen: () => Promise.resolve({ code: 1, text: 'no' }),
      onRequest: () => undefined,
      onGlobal: () => Promise.resolve(undefined),
    });
    transport.disconnect(disconnectReason.byApplication, 'over');
    await endpoint.run();
    await expect(endpoint.open('forwarded-tcpip', Buffer.alloc(0))).rejects.toThrow('has ended');
  });
});
