import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';

import { afterEach, describe, expect, it } from 'vitest';

import { connectTcpPair, spoilSharedReads } from '../testing/testing.js';
import { canShareReads, onSharedChunks } from './shared-reads.js';

const opened: { destroy(): void }[] = [];

afterEach(() => {
  for (const one of opened.splice(0)) one.destroy();
});

async function connectPair(): ReturnType<typeof connectTcpPair> {
  const pair = await connectTcpPair();
  opened.push(pair.accepted, pair.connecting);
  return pair;
}

/** Bytes whose order shows. */
function countingBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32BE(i, i);
  return bytes;
}

describe('onSharedChunks', () => {
  it('reads accepted and connected sockets into one buffer', async () => {
    const { accepted, connecting } = await connectPair();
    const buffers = new Set<ArrayBufferLike>();
    for (const socket of [accepted, connecting]) {
      expect(canShareReads(socket)).toBe(true);
      const seen = new Promise((resolve) => {
        onSharedChunks(socket, (chunk) => {
          buffers.add(chunk.buffer);
          resolve(undefined);
        });
      });
      (socket === accepted ? connecting : accepted).write('hello');
      socket.resume();
      await seen;
    }
    expect(buffers.size).toBe(1);
    expect([...buffers][0]?.byteLength).toBe(512 * 1024);
  });

  it('keeps every byte and the order, with pauses, behind what was put back, up to the end', async () => {
    const { accepted, connecting } = await connectPair();
    using _spoiled = await spoilSharedReads();
    const sent = countingBytes(8 << 20);
    connecting.write(sent.subarray(0, 100));
    const [first] = (await once(accepted.resume(), 'data')) as [Buffer];
    accepted.pause();
    accepted.unshift(first);
    connecting.end(sent.subarray(100));
    const received: Buffer[] = [];
    onSharedChunks(accepted, (chunk) => {
      received.push(Buffer.from(chunk));
      if (received.length % 5 !== 0) return;
      accepted.pause();
      globalThis.setImmediate(() => accepted.resume());
    });
    accepted.resume();
    await once(accepted, 'end');
    expect(Buffer.concat(received).equals(sent)).toBe(true);
  });

  it('reads nothing while paused', async () => {
    const { accepted, connecting } = await connectPair();
    let length = 0;
    onSharedChunks(accepted, (chunk) => {
      length += chunk.length;
      accepted.pause();
    });
    accepted.resume();
    connecting.write(Buffer.alloc(64 << 20));
    await sleep(200);
    expect(length).toBeGreaterThan(0);
    expect(length).toBeLessThanOrEqual(512 * 1024);
  });

  it('lets its user destroy the socket with a chunk in hand', async () => {
    const { accepted, connecting } = await connectPair();
    let calls = 0;
    onSharedChunks(accepted, () => {
      calls += 1;
      accepted.destroy();
    });
    accepted.resume();
    connecting.on('error', () => undefined);
    connecting.write(Buffer.alloc(4 << 20));
    await once(accepted, 'close');
    await setImmediate();
    expect(calls).toBe(1);
  });

  it('reads TLS, whose plain bytes come in records', async () => {
    const { accepted, connecting } = await connectPair();
    const secureContext = createSecureContext({ ciphers: 'PSK', minVersion: 'TLSv1.2' });
    const psk = Buffer.alloc(16, 7);
    const server = new TLSSocket(accepted, {
      isServer: true,
      secureContext,
      pskCallback: () => psk,
      maxVersion: 'TLSv1.2',
    } as ConstructorParameters<typeof TLSSocket>[1]);
    const client = connectTls({
      socket: connecting,
      ciphers: 'PSK',
      maxVersion: 'TLSv1.2',
      pskCallback: () => ({ psk, identity: 'a' }),
      checkServerIdentity: () => undefined,
    });
    opened.push(server, client);
    await once(client, 'secureConnect');
    using _spoiled = await spoilSharedReads();
    expect(canShareReads(server)).toBe(true);
    const sent = countingBytes(2 << 20);
    const received: Buffer[] = [];
    onSharedChunks(server, (chunk) => void received.push(Buffer.from(chunk)));
    client.end(sent);
    await once(server, 'end');
    expect(Buffer.concat(received).equals(sent)).toBe(true);
  });

  it("takes any other stream's chunks as they are", async () => {
    const [left, right] = duplexPair();
    const received: Buffer[] = [];
    onSharedChunks(left, (chunk) => void received.push(chunk));
    right.end('hello');
    await once(left, 'end');
    expect(Buffer.concat(received).toString()).toBe('hello');
  });
});
