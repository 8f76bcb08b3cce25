import { describe, expect, it } from 'vitest';

import { ChannelStream, channelWindowBytes } from './channel-stream.js';

function createStream(remoteWindow = 1000) {
  const sent: Buffer[] = [];
  let closed = 0;
  const stream = new ChannelStream({
    localId: 1,
    remoteId: 2,
    remoteWindow,
    remoteMaxPacket: 400,
    send: (message) => void sent.push(message),
    isCongested: () => false,
    onClosed: () => void (closed += 1),
  });
  const types = () => sent.map((message) => message[0]);
  return { stream, sent, types, closed: () => closed };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('a channel', () => {
  it('sends no more than the window, in packets no larger than asked for', async () => {
    const { stream, sent } = createStream();
    let isWritten = false;
    stream.write(Buffer.alloc(1500), () => (isWritten = true));
    await turn();
    expect(sent.map((message) => message.readUInt32BE(5))).toEqual([400, 400, 200]);
    expect(isWritten).toBe(false);
    stream.receiveWindow(500);
    await turn();
    expect(sent.map((message) => message.readUInt32BE(5))).toEqual([400, 400, 200, 400, 100]);
    expect(isWritten).toBe(true);
  });

  it('refuses a peer that ignores the window', () => {
    const { stream } = createStream();
    stream.receive(Buffer.alloc(channelWindowBytes));
    expect(() => stream.receive(Buffer.alloc(1))).toThrow('ignores the window');
  });

  it('gives all that was received before the end to a slow reader, and closes only then', async () => {
    const { stream, closed } = createStream();
    let hasHungUp = false;
    let hasClosed = false;
    stream.on('hangup', () => (hasHungUp = true));
    stream.on('close', () => (hasClosed = true));
    stream.receive(Buffer.alloc(100_000, 1));
    stream.receiveEof();
    stream.receiveClose();
    await turn();
    expect([hasHungUp, hasClosed, closed()]).toEqual([true, false, 1]);
    let received = 0;
    stream.on('data', (data: Buffer) => (received += data.length));
    await turn();
    expect(received).toBe(100_000);
    expect(hasClosed).toBe(true);
  });

  it('ends each direction by itself', async () => {
    const { stream, types } = createStream();
    stream.end(Buffer.from('x'));
    await turn();
    expect(types()).toEqual([94, 96]);
    let received = '';
    stream.on('data', (data: Buffer) => (received += data.toString()));
    stream.receive(Buffer.from('late'));
    await turn();
    expect(received).toBe('late');
  });

  it('closes when it is destroyed, and fails what could not be written', async () => {
    const { stream, types } = createStream(0);
    const failure = new Promise((resolve) => stream.write('x', resolve));
    let hasClosed = false;
    stream.on('close', () => (hasClosed = true));
    stream.destroy();
    expect(await failure).toBeInstanceOf(Error);
    await turn();
    expect(types()).toEqual([97]);
    expect(hasClosed).toBe(true);
  });
});
