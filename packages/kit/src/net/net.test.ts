import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';

import fc from 'fast-check';
import { expect, it, onTestFinished } from 'vitest';

import { GatehouseError } from '../errors/errors.js';
import {
  encodeProxyHeader,
  joinStreams,
  parseProxyHeader,
  readProxyHeader,
  splitAddress,
} from './net.js';

const header = {
  source: { address: '203.0.113.7', port: 50_123 },
  destination: { address: '127.0.0.1', port: 443 },
  proxyId: 'srv_0194e7c3a1b27000a1b2c3d4e5f60718',
};

async function connectedPair(allowHalfOpen = true): Promise<[net.Socket, net.Socket]> {
  const server = net.createServer({ allowHalfOpen });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as net.AddressInfo;
  const client = net.connect({ port: address.port, host: '127.0.0.1', allowHalfOpen });
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  server.close();
  client.on('error', () => undefined);
  onTestFinished(() => {
    client.destroy();
    accepted.destroy();
  });
  return [client, accepted];
}

it('reads the header that it writes', () => {
  for (const source of [
    { address: '203.0.113.7', port: 1 },
    { address: '2001:db8::1:0:7', port: 65_535 },
    { address: '::', port: 0 },
  ]) {
    const bytes = encodeProxyHeader({ ...header, source });
    const parsed = parseProxyHeader(Buffer.concat([bytes, Buffer.from('more')]));
    expect(parsed).toMatchObject({
      length: bytes.length,
      header: { source, proxyId: header.proxyId },
    });
  }
  expect(parseProxyHeader(encodeProxyHeader({ proxyId: 'srv_1' }))?.header).toEqual({
    proxyId: 'srv_1',
  });
});

it('reads what a HAProxy writes, in version 1 and with a checksum in version 2', () => {
  const line = Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\nrest');
  expect(parseProxyHeader(line)).toEqual({
    length: line.length - 4,
    header: {
      source: { address: '192.0.2.1', port: 1234 },
      destination: { address: '192.0.2.2', port: 443 },
    },
  });
  expect(parseProxyHeader(Buffer.from('PROXY UNKNOWN\r\n'))?.header).toEqual({});
  const checked = Buffer.from(
    '0d0a0d0a000d0a515549540a21110013c0000201c000020204d201bb030004' + '00000000',
    'hex',
  );
  expect(() => parseProxyHeader(checked)).toThrow('checksum');
});

it('takes the header byte by byte and leaves the rest in the socket', async () => {
  const [client, accepted] = await connectedPair();
  client.setNoDelay(true);
  const reading = readProxyHeader(accepted, { timeoutMs: 5000 });
  for (const byte of Buffer.concat([encodeProxyHeader(header), Buffer.from('he')])) {
    client.write(Buffer.from([byte]));
    await sleep(1);
  }
  expect(await reading).toEqual(header);
  client.end('llo');
  expect((await accepted.toArray()).join('')).toBe('hello');
});

it.each([
  ['an HTTP request', 'GET / HTTP/1.1\r\n\r\n'],
  ['a TLS ClientHello', '\x16\x03\x01\x02\x00'],
  ['one wrong byte', '\r\n\r\n\0\r\nQUIU'],
])('refuses %s at once', async (_name, text) => {
  const [client, accepted] = await connectedPair();
  client.write(Buffer.from(text, 'latin1'));
  await expect(readProxyHeader(accepted, { timeoutMs: 5000 })).rejects.toMatchObject({
    code: 'PROXY_HEADER_INVALID',
  });
});

it('gives up on a silent connection and on one that ends', async () => {
  const [, silent] = await connectedPair();
  await expect(readProxyHeader(silent, { timeoutMs: 50 })).rejects.toMatchObject({
    code: 'PROXY_HEADER_TIMEOUT',
  });
  const [client, ended] = await connectedPair();
  client.end(encodeProxyHeader(header).subarray(0, 20));
  await expect(readProxyHeader(ended, { timeoutMs: 5000 })).rejects.toMatchObject({
    code: 'PROXY_HEADER_INVALID',
  });
});

it('throws nothing but its own error for any bytes, and never asks for more than 2 KiB', () => {
  const start = encodeProxyHeader(header);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(60), (bytes, keep) => {
      const input = Buffer.concat([start.subarray(0, keep), bytes]);
      try {
        const parsed = parseProxyHeader(input);
        if (!parsed) expect(input.length).toBeLessThan(2048 + 16);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(GatehouseError);
      }
    }),
    { numRuns: 2000 },
  );
});

it('joins two connections with half-close both ways', async () => {
  const [client, front] = await connectedPair();
  const [back, target] = await connectedPair();
  const joined = joinStreams(front, back);
  const payload = Buffer.alloc(8 << 20, 'x');
  target.once('end', () => {
    target.end(payload);
  });
  let received = 0;
  target.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  client.end(payload);
  expect(Buffer.concat((await client.toArray()) as Buffer[]).equals(payload)).toBe(true);
  expect(received).toBe(payload.length);
  expect(await joined).toMatchObject({ outcome: 'ended', side: 'a' });
});

it('breaks the other side when one breaks, and says which', async () => {
  const [client, front] = await connectedPair();
  const [back, target] = await connectedPair();
  const joined = joinStreams(front, back);
  client.write('a');
  await once(target, 'data');
  const failed = once(client.resume(), 'error');
  target.resetAndDestroy();
  expect(await joined).toMatchObject({ outcome: 'broken', side: 'b' });
  expect(await failed).toMatchObject([{ code: 'ECONNRESET' }]);
});

it('drains what was read to its end before it breaks the other side', async () => {
  const [client, front] = await connectedPair();
  const [back, target] = await connectedPair();
  const joined = joinStreams(front, back);
  const payload = Buffer.alloc(4 << 20, 'y');
  target.pause();
  client.end(payload, () => {
    setTimeout(() => client.destroy(), 50);
  });
  await sleep(200);
  target.write('nobody reads this');
  const all = Buffer.concat((await target.toArray()) as Buffer[]);
  expect(all.length).toBe(payload.length);
  target.destroy();
  await joined;
});

it('breaks at once when a side is already gone', async () => {
  const [, front] = await connectedPair();
  const [back] = await connectedPair();
  front.destroy();
  await once(front, 'close');
  expect(await joinStreams(front, back)).toMatchObject({ outcome: 'broken' });
  expect(back.destroyed).toBe(true);
});

it('breaks a side that is TLS, which knows no reset', async () => {
  const [, front] = await connectedPair();
  const [back] = await connectedPair();
  const secure = new TLSSocket(back);
  secure.on('error', () => undefined);
  const joined = joinStreams(front, secure);
  front.resetAndDestroy();
  expect(await joined).toMatchObject({ outcome: 'broken', side: 'a' });
  expect(secure.destroyed).toBe(true);
});

it('takes an address apart, IPv6 too', () => {
  expect(splitAddress('proxy.example.com:8443')).toEqual({ host: 'proxy.example.com', port: 8443 });
  expect(splitAddress('[2001:db8::1]:443')).toEqual({ host: '2001:db8::1', port: 443 });
  expect(splitAddress('127.0.0.1:0')).toEqual({ host: '127.0.0.1', port: 0 });
});
