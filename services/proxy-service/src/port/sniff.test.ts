import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { connect } from 'node:tls';

import { describe, expect, it } from 'vitest';

import { parseClientHello } from './client-hello.js';
import { maxSniffBytes, sniff } from './sniff.js';

const greetings = ['SSH-2.0-'];

/** The first bytes that a real TLS client sends. */
async function captureHello(options: {
  servername?: string;
  ALPNProtocols?: string[];
}): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const arrived = once(server, 'connection') as Promise<[Socket]>;
  const client = connect({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    rejectUnauthorized: false,
    ...options,
  });
  client.on('error', () => undefined);
  const [socket] = await arrived;
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  client.destroy();
  server.close();
  return bytes;
}

const clear: [string, Buffer, string][] = [
  ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), 'clear'],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n'), 'http'],
  ['HTTP/2 in clear', Buffer.from('PRI * HTTP/2.0\r\n'), 'http'],
  ['PROXY v1', Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'), 'proxy_header'],
  ['PROXY v2', Buffer.from('0d0a0d0a000d0a515549540a21110000', 'hex'), 'proxy_header'],
  ['noise', Buffer.from('8f3a11', 'hex'), 'unknown'],
  ['an almost-SSH greeting', Buffer.from('SSH-1.5-x'), 'unknown'],
];

describe('sniff', () => {
  it.each(clear)(
    'knows %s by its first bytes, in whatever pieces they come',
    (_name, bytes, kind) => {
      const answers = Array.from(
        { length: bytes.length },
        (_none, at) => sniff(bytes.subarray(0, at + 1), greetings).kind,
      );
      const first = answers.findIndex((answer) => answer !== 'more');
      expect(answers.slice(first)).toEqual(answers.slice(first).map(() => kind));
      expect(sniff(bytes, greetings).kind).toBe(kind);
    },
  );

  it('reads server name and ALPN from a real ClientHello, a byte at a time', async () => {
    const hello = await captureHello({
      servername: 'Auth.home.gatehouse.internal',
      ALPNProtocols: ['h2', 'gatehouse-ssh'],
    });
    for (let at = 1; at < hello.length; at += 1)
      expect(sniff(hello.subarray(0, at), greetings).kind).toBe('more');
    expect(sniff(hello, greetings)).toEqual({
      kind: 'tls',
      hello: { serverName: 'auth.home.gatehouse.internal', protocols: ['h2', 'gatehouse-ssh'] },
    });
  });

  it('reads a hello that is split over several records', async () => {
    const hello = await captureHello({ ALPNProtocols: ['gatehouse-tcp'] });
    const body = hello.subarray(5);
    const records = [body.subarray(0, 100), body.subarray(100)].map((part) => {
      const head = Buffer.from([0x16, 3, 1, 0, 0]);
      head.writeUInt16BE(part.length, 3);
      return Buffer.concat([head, part]);
    });
    expect(parseClientHello(Buffer.concat(records))).toMatchObject({
      protocols: ['gatehouse-tcp'],
    });
  });

  it('gives up a hello that never ends', () => {
    const head = Buffer.from([0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]);
    expect(sniff(Buffer.concat([head, Buffer.alloc(1000)]), greetings).kind).toBe('more');
    expect(sniff(Buffer.concat([head, Buffer.alloc(maxSniffBytes.tls)]), greetings).kind).toBe(
      'unknown',
    );
  });
});
