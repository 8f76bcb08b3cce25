import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

import { describe, expect, it, onTestFinished } from 'vitest';

import { ChannelStream } from '../connection/channel-stream.js';
import { messageType } from '../wire/message-types.js';
import { joinSocket } from './join-socket.js';

/** Two ends of a TCP connection. */
async function openPair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [
    [Socket],
    unknown,
  ];
  onTestFinished(() => {
    for (const socket of [near, far]) socket.destroy();
    server.close();
  });
  for (const socket of [near, far]) socket.on('error', () => undefined);
  return { near, far };
}

function createChannel(remoteWindow: number) {
  const sent: Buffer[] = [];
  const stream = new ChannelStream({
    localId: 0,
    remoteId: 0,
    remoteWindow,
    remoteMaxPacket: 32_768,
    send: (message) => sent.push(Buffer.from(message)),
    isCongested: () => false,
    onClosed: () => undefined,
  });
  const typesSent = () => sent.map((message) => message[0]);
  const bytesSent = () =>
    sent
      .filter((message) => message[0] === messageType.channelData)
      .reduce((sum, message) => sum + message.readUInt32BE(5), 0);
  return { stream, typesSent, bytesSent };
}

describe('a channel and a socket', () => {
  // Health checks that reset used up the channels of a connection.
  it('are both closed where the socket was reset before they were joined', async () => {
    const { near, far } = await openPair();
    far.resetAndDestroy();
    near.resume();
    await expect.poll(() => near.destroyed).toBe(true);
    const { stream, typesSent } = createChannel(1 << 20);
    joinSocket(stream, near);
    expect(typesSent()).toEqual([messageType.channelClose]);
  });

  it('are both closed where the socket is reset', async () => {
    const { near, far } = await openPair();
    const { stream, typesSent } = createChannel(1 << 20);
    joinSocket(stream, near);
    far.resetAndDestroy();
    await expect.poll(typesSent).toContain(messageType.channelClose);
  });

  it('are both closed where the connection ended before they were joined', async () => {
    const { near } = await openPair();
    const { stream } = createChannel(1 << 20);
    stream.abandon();
    joinSocket(stream, near);
    expect(near.destroyed).toBe(true);
  });

  // The last bytes of an answer to a client that had ended its side were thrown away while its window was shut.
  it('lose nothing that waits for the window when both sides have ended', async () => {
    const { near, far } = await openPair();
    const { stream, typesSent, bytesSent } = createChannel(1_000);
    joinSocket(stream, near);
    stream.receiveEof();
    far.end(Buffer.alloc(30_000));
    await expect.poll(bytesSent).toBe(1_000);
    await expect.poll(() => near.readableEnded).toBe(true);
    expect(typesSent()).not.toContain(messageType.channelClose);
    stream.receiveWindow(100_000);
    await expect.poll(typesSent).toContain(messageType.channelClose);
    expect(bytesSent()).toBe(30_000);
    expect(typesSent().slice(-2)).toEqual([messageType.channelEof, messageType.channelClose]);
  });
});
