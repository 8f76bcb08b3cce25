/** The one port: PRT-01, PRT-02, LIM-04, LIM-05 for what is built. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startHome, type Home } from '../stack/home.js';
import { createAdmin, type Person } from '../stack/person.js';
import { eventually, run } from '../stack/run.js';

describe('the one port', () => {
  let home: Home;
  let ada: Person;
  let port: number;
  beforeAll(async () => {
    home = await startHome({ flags: ['--no-agent'] });
    port = Number(home.ready.proxyAddr.split(':')[1]);
    ada = await createAdmin(home);
  });
  afterAll(async () => home[Symbol.asyncDispose]());

  const open = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };

  /** What comes back until the other side is silent for a while or closes. */
  async function answer(pieces: Buffer[], gapMs = 0, waitMs = 1_500): Promise<string> {
    const socket = await open();
    const got: Buffer[] = [];
    let isClosed = false;
    socket.on('data', (chunk: Buffer) => got.push(chunk));
    socket.on('close', () => (isClosed = true));
    for (const piece of pieces) {
      if (socket.destroyed) break;
      socket.write(piece);
      if (gapMs > 0) await new Promise((resolve) => setTimeout(resolve, gapMs));
    }
    const until = performance.now() + waitMs;
    while (!isClosed && got.length === 0 && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 20));
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    return Buffer.concat(got).toString('latin1') + (isClosed ? '<closed>' : '');
  }

  const probes: [string, Buffer, RegExp][] = [
    ['SSH', Buffer.from('SSH-2.0-probe\r\n'), /^SSH-2\.0-Gatehouse/],
    [
      'HTTP',
      Buffer.from('GET /invite/x HTTP/1.1\r\nHost: a\r\n\r\n'),
      /^HTTP\/1\.1 308 .*\r\nLocation: https:\/\/localhost:\d+\/invite\/x\r\n/,
    ],
    ['random bytes', Buffer.from('8f3a11cc0942aabbccddeeff00112233', 'hex'), /^<closed>$/],
    ['PROXY v1 unasked', Buffer.from('PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n'), /^<closed>$/],
  ];

  it.each(probes)(
    'routes %s by its first bytes, whole, a byte at a time and split anywhere (PRT-01, PRT-02)',
    async (_name, bytes, expected) => {
      expect(await answer([bytes])).toMatch(expected);
      expect(
        await answer(
          [...bytes]
            .slice(0, 64)
            .map((byte) => Buffer.from([byte]))
            .concat([Buffer.from(bytes.subarray(64))]),
          2,
        ),
      ).toMatch(expected);
      const splits = Array.from({ length: Math.min(bytes.length - 1, 12) }, (_none, at) => at + 1);
      const answers = await Promise.all(
        splits.map(async (at) => answer([bytes.subarray(0, at), bytes.subarray(at)], 20)),
      );
      for (const got of answers) expect(got).toMatch(expected);
    },
  );

  async function handshake(options: { ALPNProtocols?: string[]; servername?: string }) {
    const socket = connectTls({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      servername: 'localhost',
      ...options,
    });
    try {
      await once(socket, 'secureConnect');
      const subject = socket.getPeerX509Certificate();
      return { alpn: socket.alpnProtocol, names: subject?.subjectAltName ?? '' };
    } catch (thrown) {
      return { error: (thrown as NodeJS.ErrnoException).code };
    } finally {
      socket.destroy();
    }
  }

  it('routes TLS by ALPN and server name (PRT-01)', async () => {
    expect(await handshake({ ALPNProtocols: ['http/1.1'] })).toMatchObject({ alpn: 'http/1.1' });
    expect(await handshake({})).toMatchObject({ alpn: false });
    expect(await handshake({ ALPNProtocols: ['gatehouse-ssh'] })).toMatchObject({
      alpn: 'gatehouse-ssh',
    });
    expect(await handshake({ ALPNProtocols: ['gatehouse-tcp'] })).toMatchObject({
      alpn: 'gatehouse-tcp',
    });
    const auth = await handshake({
      ALPNProtocols: ['h2'],
      servername: 'auth.home.gatehouse.internal',
    });
    const audit = await handshake({
      ALPNProtocols: ['h2'],
      servername: 'audit.home.gatehouse.internal',
    });
    expect(auth.names).toContain('/service/auth/');
    expect(audit.names).toContain('/service/audit/');
    expect(await handshake({ ALPNProtocols: ['nope'] })).toEqual({
      error: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
    });
  });

  it('closes silence and what never says what it is (PRT-02)', async () => {
    const silent = await open();
    const slow = await open();
    const startedAt = performance.now();
    const timer = setInterval(() => slow.write('S'), 3_000);
    await Promise.all([once(silent, 'close'), once(slow, 'close')]);
    clearInterval(timer);
    expect(performance.now() - startedAt).toBeLessThan(12_000);
  }, 20_000);

  it('serves good clients while hundreds dribble, and closes those in time (LIM-04)', async () => {
    const before = (await ada.gate(['ls'])).ms;
    const openings = ['\x16\x03\x01', 'SSH-2', 'GET / HTTP/1.1\r\nX: ', 'PRO'];
    const sockets: Socket[] = [];
    for (let n = 0; n < 90; n += 1) {
      const socket = await open();
      socket.resume();
      socket.write(openings[n % openings.length] ?? '');
      sockets.push(socket);
    }
    const during = await ada.gate(['ls']);
    expect(during.code).toBe(0);
    expect(during.ms).toBeLessThan(before * 3 + 2_000);
    await eventually(
      'the slow ones to be closed',
      () => sockets.every((socket) => socket.destroyed || socket.readyState === 'closed'),
      25_000,
    );
    const big = await run('curl', [
      '-sk',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      '-H',
      `X: ${'a'.repeat(60_000)}`,
      home.ready.webUrl,
    ]);
    expect(big.stdout).toBe('431');
    const body = await run(
      'curl',
      [
        '-sk',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        '-H',
        'content-type: application/json',
        '--data-binary',
        '@-',
        `${home.ready.webUrl}/api/invite`,
      ],
      { stdin: Buffer.alloc(1 << 20, 0x20) },
    );
    expect(body.stdout).toBe('413');
  }, 180_000);

  it('survives random and mutated bytes at every door (LIM-05)', async () => {
    let seed = 42;
    const random = () => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) / 0x7fffffff;
    const openings = [
      Buffer.alloc(0),
      Buffer.from('SSH-2.0-x\r\n'),
      Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'latin1'),
      Buffer.from('GET '),
    ];
    for (let round = 0; round < 300; round += 1) {
      const noise = Buffer.from(
        Array.from({ length: Math.floor(random() * 600) }, () => Math.floor(random() * 256)),
      );
      const socket = await open();
      socket.end(Buffer.concat([openings[round % openings.length] ?? Buffer.alloc(0), noise]));
      socket.resume();
      setTimeout(() => socket.destroy(), 500);
    }
    expect((await ada.gate(['ls'])).code).toBe(0);
    expect(home.log).not.toContain('unhandled');
  }, 60_000);
});
