/** ssh2 looks back at what it read while keys are made, and reads of a process share one buffer. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Duplex } from 'node:stream';

import { createTestAuthorities, issueTestHost } from '@gatehouse/identity/testing';
import { spoilSharedReads } from '@gatehouse/kit/testing';
import { expect, it } from 'vitest';

import { encodeMessage } from '../wire/codec.js';
import { clientFacing, hostCertificateAlgorithms } from './algorithms.js';
import { createHostKeys } from './host-keys.js';
import { SshTransport } from './transport.js';

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
  return slow;
}

async function connectTcp(): Promise<{ near: Socket; far: Socket }> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const near = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const [[far]] = (await Promise.all([once(listener, 'connection'), once(near, 'connect')])) as [
    [Socket],
    unknown,
  ];
  listener.close();
  return { near, far };
}

it.each(['server', 'client'] as const)(
  'renews keys as %s with a peer whose messages come one by one',
  async (side) => {
    const host = await issueTestHost(await createTestAuthorities(), ['web-1']);
    await using stack = new AsyncDisposableStack();
    const { near, far } = await connectTcp();
    const asServer = { offer: clientFacing, hostKeys: createHostKeys(host) };
    const asClient = {
      offer: clientFacing,
      client: { hostKeyAlgorithms: hostCertificateAlgorithms, verifyHostKey: () => true },
    };
    const spoiled = await spoilSharedReads();
    stack.defer(() => spoiled[Symbol.dispose]());
    const [ours, theirs] = side === 'server' ? [asServer, asClient] : [asClient, asServer];
    const us = new SshTransport({ socket: near, ...ours });
    const peer = new SshTransport({ socket: slowly(far), ...theirs });
    stack.defer(() => peer.drop('done'));
    stack.defer(() => us.drop('done'));
    await Promise.all([us.ready(), peer.ready()]);
    for (const one of [us, peer]) one.setAuthenticated();
    for (let round = 0; round < 6; round += 1) {
      (round % 2 === 0 ? us : peer).rekey();
      // Sent when the new keys are there.
      us.send(encodeMessage(94, round));
      peer.send(encodeMessage(94, round));
      expect((await peer.read()).readUInt32BE(1)).toBe(round);
      expect((await us.read()).readUInt32BE(1)).toBe(round);
    }
  },
);

it('ends a peer that says more before its login than is ever answered', async () => {
  const host = await issueTestHost(await createTestAuthorities(), ['web-1']);
  const { near, far } = await connectTcp();
  const server = new SshTransport({
    socket: far,
    offer: clientFacing,
    hostKeys: createHostKeys(host),
  });
  const client = new SshTransport({
    socket: near,
    offer: clientFacing,
    client: { hostKeyAlgorithms: hostCertificateAlgorithms, verifyHostKey: () => true },
  });
  await Promise.all([server.ready(), client.ready()]);
  client.cork();
  for (let i = 0; i < 5000; i += 1) client.send(encodeMessage(94, i));
  client.uncork();
  expect(await server.ended).toMatchObject({ by: 'us' });
  await client.ended;
});
