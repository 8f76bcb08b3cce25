import { connect } from 'node:net';

import { createLogger } from '@gatehouse/kit/log';
import { findFreePort } from '@gatehouse/kit/testing';
import { describe, expect, it } from 'vitest';

import { RemoteForwards } from './remote-forwards.js';

const logger = createLogger({ name: 'test', level: 'silent' });

const isListening = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });

describe('the ports of a connection', () => {
  it('are not opened, and do not stay, behind its end', async () => {
    const forwards = new RemoteForwards({ endpoint: () => undefined, isRoot: false, logger });
    const ask = (port: number) =>
      forwards.handle({
        name: 'tcpip-forward',
        wantReply: true,
        address: { host: '127.0.0.1', port },
      });
    const [kept, begun, late] = [await findFreePort(), await findFreePort(), await findFreePort()];
    expect(await ask(kept)).toBeDefined();
    expect(await isListening(kept)).toBe(true);
    const answer = ask(begun);
    forwards[Symbol.dispose]();
    expect(await answer).toBeUndefined();
    expect(await ask(late)).toBeUndefined();
    for (const port of [kept, begun, late]) expect(await isListening(port)).toBe(false);
  });
});
