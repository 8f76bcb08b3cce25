/** ssh2 looks back at what it read while keys are made, and reads of a process share one buffer. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

import { connectTcpPair, spoilSharedReads } from '@gatehouse/kit/testing';
import { expect, it } from 'vitest';

import { encodeMessage } from '../wire/codec.js';
import { connectPair } from './testing.js';

/** Sends what it is given some turns of the event loop later, each write by itself. */
function slowly(socket: Socket): Duplex {
  const slow = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      setTimeout(() => socket.write(chunk, () => done()), 5);
    },
    final: (done) => void socket.end(done),
  });
  socket.on('data', (chunk) => slow.push(chunk));
  socket.on('end', () => slow.push(null));
  socket.resume();
  return slow;
}

it.each(['server', 'client'] as const)(
  'renews keys as %s with a peer whose messages come one by one',
  async (side) => {
    await using stack = new AsyncDisposableStack();
    const { accepted, connecting } = await connectTcpPair();
    const spoiled = await spoilSharedReads();
    stack.defer(() => spoiled[Symbol.dispose]());
    const slow = slowly(accepted);
    const { server, client } = await connectPair({
      streams: side === 'client' ? [connecting, slow] : [slow, connecting],
    });
    for (const one of [server, client]) stack.defer(() => one.drop('done'));
    await Promise.all([server.ready(), client.ready()]);
    for (const one of [server, client]) one.setAuthenticated();
    for (let round = 0; round < 6; round += 1) {
      (round % 2 === 0 ? server : client).rekey();
      // Sent when the new keys are there.
      for (const one of [server, client]) one.send(encodeMessage(94, round));
      for (const one of [client, server]) expect((await one.read()).readUInt32BE(1)).toBe(round);
    }
  },
);

it('ends a peer that says more before its login than is ever answered', async () => {
  const { accepted, connecting } = await connectTcpPair();
  const { server, client } = await connectPair({ streams: [connecting, accepted] });
  await Promise.all([server.ready(), client.ready()]);
  client.cork();
  for (let i = 0; i < 5000; i += 1) client.send(encodeMessage(94, i));
  client.uncork();
  expect(await server.ended).toMatchObject({ by: 'us' });
  await client.ended;
});
