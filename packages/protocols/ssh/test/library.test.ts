/** What no stock client does: raw messages over the package's own transport, and a second library (ssh2). */
import { createHash, createPrivateKey, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { signSsh } from '@gatehouse/identity';
import { issueTestUser, type TestUser } from '@gatehouse/identity/testing';
import { KexInit } from 'ssh2/lib/protocol/kex.js';
import Protocol from 'ssh2/lib/protocol/Protocol.js';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { clientFacing, hostCertificateAlgorithms } from '../src/transport/algorithms.js';
import { SshTransport } from '../src/transport/transport.js';
import { encodeFields, encodeMessage, WireReader } from '../src/wire/codec.js';
import { messageType } from '../src/wire/message-types.js';
import { defaultOptions, startWithSshd, type Harness } from './harness.js';

let harness: Harness;
let stop: () => Promise<void>;

beforeAll(async () => {
  const started = await startWithSshd();
  harness = started.harness;
  stop = async () => {
    await harness.close();
    await started.sshd[Symbol.asyncDispose]();
  };
});

afterAll(async () => {
  await stop();
});

beforeEach(() => {
  harness.options.current = defaultOptions;
  harness.events.length = 0;
});

function dial(): SshTransport {
  const socket = connect({ port: harness.port, host: '127.0.0.1', noDelay: true });
  const transport = new SshTransport({
    socket,
    offer: clientFacing,
    client: { hostKeyAlgorithms: hostCertificateAlgorithms, verifyHostKey: () => true },
  });
  onTestFinished(() => {
    socket.destroy();
  });
  return transport;
}

async function nextOf(transport: SshTransport, ...types: number[]): Promise<Buffer> {
  for (;;) {
    const message = await transport.read(AbortSignal.timeout(10_000));
    if (types.includes(message[0] ?? 0)) return message;
  }
}

function publicKeyRequest(user: TestUser, userName: string, isSigned: boolean): Buffer {
  const algorithm = new WireReader(user.sshCertificate).text();
  return encodeMessage(
    50,
    userName,
    'ssh-connection',
    'publickey',
    isSigned,
    algorithm,
    user.sshCertificate,
  );
}

function signed(transport: SshTransport, user: TestUser, request: Buffer): Buffer {
  const data = Buffer.concat([encodeFields(transport.sessionId), request]);
  return Buffer.concat([
    request,
    encodeFields(signSsh(createPrivateKey(user.privateKeyPem), data)),
  ]);
}

async function login(userName = 'root@web-1', user = harness.user): Promise<SshTransport> {
  const transport = dial();
  await transport.ready();
  transport.send(encodeMessage(messageType.serviceRequest, 'ssh-userauth'));
  await nextOf(transport, messageType.serviceAccept);
  transport.send(signed(transport, user, publicKeyRequest(user, userName, true)));
  const reply = await nextOf(transport, messageType.userauthSuccess, messageType.userauthFailure);
  expect(reply[0]).toBe(messageType.userauthSuccess);
  transport.setAuthenticated();
  return transport;
}

async function openSession(transport: SshTransport, window = 2_000_000, id = 0): Promise<number> {
  transport.send(encodeMessage(messageType.channelOpen, 'session', id, window, 32_768));
  const reply = await nextOf(transport, messageType.channelOpenConfirmation);
  return reply.readUInt32BE(5);
}

const exec = (channel: number, command: string) =>
  encodeMessage(98, channel, 'exec', true, command);

/** The stdout of one command on a channel of its own. */
async function runCommand(transport: SshTransport, command: string, id: number): Promise<string> {
  const channel = await openSession(transport, 2_000_000, id);
  transport.send(exec(channel, command));
  let out = '';
  for (;;) {
    const message = await nextOf(transport, 94, 97);
    if (message[0] === 97) return out;
    out += new WireReader(message, 5).string().toString();
  }
}

describe('the end of a command', () => {
  it('loses nothing for a client that withholds its window, and comes in order', async () => {
    const transport = await login();
    const channel = await openSession(transport, 1000);
    transport.send(exec(channel, 'head -c 4194304 /dev/zero | tr "\\0" e >&2; exit 7'));
    await sleep(700);
    transport.send(encodeMessage(93, channel, 64 * 1024 * 1024));
    const order: string[] = [];
    let bytes = 0;
    for (;;) {
      const message = await nextOf(transport, 94, 95, 96, 97, 98);
      if (message[0] === 95) bytes += message.readUInt32BE(9);
      if (message[0] === 98) order.push(new WireReader(message, 5).text());
      if (message[0] === 96) order.push('eof');
      if (message[0] === 97) break;
      if (message[0] === 98 || message[0] === 96) expect(bytes).toBe(4_194_304);
    }
    expect(bytes).toBe(4_194_304);
    expect(order).toEqual(['exit-status', 'eof']);
  });
});

describe('an exit code', () => {
  it('is a signal where one ended the program', async () => {
    const transport = await login();
    const channel = await openSession(transport);
    transport.send(exec(channel, 'kill -KILL $$'));
    const reader = new WireReader(await nextOf(transport, 98), 5);
    expect([reader.text(), reader.bool(), reader.text()]).toEqual(['exit-signal', false, 'KILL']);
  });

  it('is not kept back by a program that goes on in the background', async () => {
    const transport = await login();
    const channel = await openSession(transport);
    transport.send(exec(channel, 'sleep 20 & exit 4'));
    const before = Date.now();
    const request = await nextOf(transport, 98);
    expect(new WireReader(request, 5).text()).toBe('exit-status');
    expect(Date.now() - before).toBeLessThan(15_000);
  });
});

describe('what is unknown', () => {
  it('is refused where a reply is asked for, and leaves the connection usable', async () => {
    const transport = await login();
    transport.send(encodeMessage(90, 'x-nope@test', 5, 1000, 1000));
    const failure = await nextOf(transport, 91, 92);
    expect([failure[0], failure.readUInt32BE(1), failure.readUInt32BE(5)]).toEqual([92, 5, 3]);
    transport.send(encodeMessage(80, 'nope@test', false));
    transport.send(encodeMessage(80, 'nope2@test', true));
    expect((await nextOf(transport, 81, 82))[0]).toBe(82);
    const channel = await openSession(transport);
    transport.send(encodeMessage(98, channel, 'nope', false));
    transport.send(encodeMessage(98, channel, 'nope', true));
    transport.send(exec(channel, 'echo after'));
    const replies = [await nextOf(transport, 99, 100), await nextOf(transport, 99, 100)];
    expect(replies.map((reply) => reply[0])).toEqual([100, 99]);
    expect(new WireReader(await nextOf(transport, 94), 5).string().toString()).toBe('after\n');
    const denied = await harness.waitForEvent('ssh.request_denied', 4);
    expect(denied.map((event) => event.data['name'])).toEqual([
      'x-nope@test',
      'nope@test',
      'nope2@test',
      'nope',
      'nope',
    ]);
  });

  it('is answered with UNIMPLEMENTED where it is a message', async () => {
    const transport = await login();
    transport.send(Buffer.from([200, 1, 2, 3]));
    expect(await runCommand(transport, 'echo still', 0)).toBe('still\n');
  });

  it('is what the target would read in another way: a name with NUL at its end', async () => {
    harness.options.current = { ...defaultOptions, fileTransfer: 'none' };
    const transport = await login();
    const channel = await openSession(transport);
    const requests = [
      encodeMessage(98, channel, 'subsystem', true, 'sftp\0'),
      encodeMessage(98, channel, 'env', true, 'BASH_ENV\0', '/tmp/x'),
      encodeMessage(98, channel, 'exec\0', true, 'id'),
    ];
    for (const request of requests) {
      transport.send(request);
      expect((await nextOf(transport, 99, 100))[0]).toBe(100);
    }
    const denied = await harness.waitForEvent('ssh.request_denied', 3);
    expect(denied.map((event) => event.data['name'])).toEqual(['subsystem', 'env', 'exec\\x00']);
    expect(await runCommand(transport, 'echo still', 1)).toBe('still\n');
    const file = await openSession(transport, 2_000_000, 2);
    transport.send(exec(file, '/usr/lib/openssh/sftp-server\0'));
    await harness.waitForEvent('ssh.file_denied');
  });

  it('is counted in a flood on a jump host, and refused for ever', async () => {
    const transport = await login('alice');
    for (let i = 0; i < 300; i += 1) {
      transport.send(encodeMessage(90, `x-\u001b${i}`, i, 1000, 1000));
      expect((await nextOf(transport, 91, 92))[0]).toBe(92);
    }
    transport.disconnect(11, 'done');
    const [counted] = await harness.waitForEvent('audit.events_counted');
    const denied = harness.events.filter(({ type }) => type === 'ssh.request_denied');
    expect(denied[0]?.data['name']).toBe('x-\\x1b0');
    expect(counted).toMatchObject({ reason: 'gateway', data: { type: 'ssh.request_denied' } });
    expect(denied.length + Number(counted?.data['count'])).toBe(300);
  });

  it('is counted in a flood on a session, and hides no denial of another kind', async () => {
    harness.options.current = { ...defaultOptions, fileTransfer: 'none' };
    const transport = await login();
    const channel = await openSession(transport);
    for (let i = 0; i < 300; i += 1)
      transport.send(encodeMessage(98, channel, 'env', false, 'LD_PRELOAD', 'x'));
    transport.send(exec(channel, 'scp -f /etc/shadow'));
    await harness.waitForEvent('ssh.file_denied');
    transport.disconnect(11, 'done');
    const [counted] = await harness.waitForEvent('audit.events_counted');
    const denied = harness.events.filter(({ type }) => type === 'ssh.request_denied');
    expect(denied.length + Number(counted?.data['count'])).toBe(300);
    await harness.waitForEvent('session.ended');
    expect(harness.events.at(-1)?.type).toBe('session.ended');
  });

  it('keeps refusals and answers of the target in the order of the requests', async () => {
    const transport = await login();
    const channel = await openSession(transport);
    for (let i = 0; i < 20; i += 1) {
      transport.send(
        encodeMessage(98, channel, 'env', true, i % 2 === 0 ? 'LD_PRELOAD' : 'NOT_ACCEPTED', 'x'),
      );
    }
    transport.send(
      encodeMessage(98, channel, 'pty-req', true, 'xterm', 80, 24, 0, 0, Buffer.of(0)),
    );
    transport.send(encodeMessage(98, channel, 'env', true, 'PATH', 'x'));
    const replies: number[] = [];
    for (let i = 0; i < 22; i += 1) replies.push((await nextOf(transport, 99, 100))[0] ?? 0);
    expect(replies).toEqual([...Array<number>(20).fill(100), 99, 100]);
  });
});

describe('authentication', () => {
  it('ends when the user name changes', async () => {
    const transport = dial();
    await transport.ready();
    transport.send(encodeMessage(5, 'ssh-userauth'));
    await nextOf(transport, 6);
    transport.send(encodeMessage(50, 'deploy@web-1', 'ssh-connection', 'none'));
    await nextOf(transport, 51);
    transport.send(encodeMessage(50, 'root@web-1', 'ssh-connection', 'none'));
    expect((await transport.ended).text).toContain('user name changed');
    expect((await harness.waitForEvent('connection.refused'))[0]?.reason).toBe('user_changed');
  });

  it.each([0, 1])('is by the key that signed, not by what was offered (%i)', async (signer) => {
    const alice = harness.user;
    const bob = await issueTestUser(harness.authorities, { user: 'bob' });
    const transport = dial();
    await transport.ready();
    transport.send(encodeMessage(5, 'ssh-userauth'));
    await nextOf(transport, 6);
    for (const user of [alice, bob]) {
      transport.send(publicKeyRequest(user, 'root@web-1', false));
      await nextOf(transport, 60);
    }
    const user = signer === 0 ? alice : bob;
    transport.send(signed(transport, user, publicKeyRequest(user, 'root@web-1', true)));
    await nextOf(transport, 52);
    const [started] = await harness.waitForEvent('session.started');
    expect(started?.data['user']).toBe(signer === 0 ? 'alice' : 'bob');
  });

  it('refuses the certificate of one with the signature of another', async () => {
    const bob = await issueTestUser(harness.authorities, { user: 'bob' });
    const transport = dial();
    await transport.ready();
    transport.send(encodeMessage(5, 'ssh-userauth'));
    await nextOf(transport, 6);
    transport.send(signed(transport, bob, publicKeyRequest(harness.user, 'root@web-1', true)));
    await nextOf(transport, 51);
    // A signature of another connection is no better.
    const other = dial();
    await other.ready();
    transport.send(signed(other, harness.user, publicKeyRequest(harness.user, 'root@web-1', true)));
    await nextOf(transport, 51);
    transport.send(
      signed(transport, harness.user, publicKeyRequest(harness.user, 'root@web-1', true)),
    );
    await nextOf(transport, 52);
  });

  it('ends after six failed tries, and never takes a password', async () => {
    const transport = dial();
    await transport.ready();
    transport.send(encodeMessage(5, 'ssh-userauth'));
    await nextOf(transport, 6);
    for (let i = 0; i < 6; i += 1) {
      transport.send(
        encodeMessage(
          50,
          'root@web-1',
          'ssh-connection',
          i === 0 ? 'keyboard-interactive' : 'password',
          false,
          'secret',
        ),
      );
      if (i < 5) expect(new WireReader(await nextOf(transport, 51), 1).text()).toBe('publickey');
    }
    expect((await transport.ended).text).toContain('too many authentication failures');
    const refused = await harness.waitForEvent('connection.refused');
    expect(refused.map((event) => event.reason)).toEqual(['no_certificate']);
  });

  it('ends at the deadline without an event for a client that never tries', async () => {
    const transport = dial();
    await transport.ready();
    harness.openTimeout.ms = 300;
    const silent = dial();
    await silent.ready();
    await silent.ended;
    harness.openTimeout.ms = 30_000;
    expect(harness.events).toEqual([]);
  });

  it('is needed before anything else', async () => {
    const transport = dial();
    await transport.ready();
    transport.send(encodeMessage(90, 'session', 0, 1000, 1000));
    await transport.ended;
    expect(transport.endedWith?.by).toBe('peer');
  });
});

describe('bulk data', () => {
  it('keeps odd packet sizes and small windows, with new keys on the way', async () => {
    const transport = await login();
    const channel = await openSession(transport, 77_777);
    transport.send(exec(channel, 'cat'));
    const source = randomBytes(8 * 1024 * 1024);
    const hash = createHash('sha256');
    let window = 0;
    let received = 0;
    let sent = 0;
    let rekeys = 0;
    const pump = () => {
      while (window >= 1021 && sent < source.length) {
        const part = source.subarray(sent, sent + 1021);
        transport.send(encodeMessage(94, channel, part));
        sent += part.length;
        window -= part.length;
        if (Math.floor(sent / 1_000_000) > rekeys) {
          rekeys += 1;
          transport.rekey();
        }
      }
      if (sent === source.length) transport.send(encodeMessage(96, channel));
    };
    for (;;) {
      const message = await nextOf(transport, 93, 94, 97);
      if (message[0] === 97) break;
      if (message[0] === 93) {
        window += message.readUInt32BE(5);
        if (sent < source.length) pump();
        continue;
      }
      const data = new WireReader(message, 5).string();
      hash.update(data);
      received += data.length;
      transport.send(encodeMessage(93, channel, data.length));
    }
    expect(received).toBe(source.length);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(source).digest('hex'));
  });

  it('is held back at a client that stops reading, however large its window', async () => {
    const transport = await login();
    const channel = await openSession(transport, 0x7fff_ffff);
    transport.pause();
    transport.send(exec(channel, 'head -c 400000000 /dev/zero'));
    await sleep(300);
    const before = process.memoryUsage().rss;
    await sleep(1500);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
  });
});

describe('SFTP by hand', () => {
  const packet = (type: number, ...fields: (number | string | Buffer)[]) => {
    const body = Buffer.concat([Buffer.of(type), encodeFields(...fields)]);
    return Buffer.concat([encodeFields(body.length), body]);
  };

  /** A session whose answers come packet by packet. */
  async function openSftp() {
    const transport = await login();
    const channel = await openSession(transport);
    transport.send(encodeMessage(98, channel, 'subsystem', true, 'sftp'));
    await nextOf(transport, 99);
    let buffer = Buffer.alloc(0);
    const send = (bytes: Buffer) => {
      for (let at = 0; at < bytes.length; at += 30_000) {
        transport.send(encodeMessage(94, channel, bytes.subarray(at, at + 30_000)));
      }
    };
    const next = async () => {
      while (buffer.length < 4 || buffer.length < 4 + buffer.readUInt32BE(0)) {
        const message = await nextOf(transport, 94, 97);
        if (message[0] === 97) throw new Error('closed');
        buffer = Buffer.concat([buffer, new WireReader(message, 5).string()]);
      }
      const one = buffer.subarray(0, 4 + buffer.readUInt32BE(0));
      buffer = buffer.subarray(one.length);
      return one;
    };
    send(packet(1, 3));
    expect((await next())[4]).toBe(2);
    return { transport, channel, send, next };
  }

  it('reports names with control characters escaped, and refuses overlong ones itself', async () => {
    const { send, next } = await openSftp();
    send(packet(3, 1, `/tmp/gatehouse-\u001b[31m\nname`, 0x1a, 0));
    const handle = await next();
    expect(handle[4]).toBe(102);
    send(packet(4, 2, new WireReader(handle, 9).string()));
    await next();
    send(packet(3, 3, `/${'x'.repeat(5000)}`, 1, 0));
    const status = await next();
    expect([status[4], status.readUInt32BE(5), status.readUInt32BE(9)]).toEqual([101, 3, 4]);
    send(packet(13, 4, `/tmp/gatehouse-\u001b[31m\nname`));
    await next();
    const [event] = await harness.waitForEvent('ssh.file_transferred');
    expect(event?.data['path']).toBe('/tmp/gatehouse-\\x1b[31m\\x0aname');
    expect(event?.data['resolvedPath']).toBe('/tmp/gatehouse-\\x1b[31m\\x0aname');
  });

  it('keeps refused and granted requests apart by their ids, however they are cut and mixed', async () => {
    harness.options.current = { ...defaultOptions, fileTransfer: 'download' };
    const { transport, channel, send, next } = await openSftp();
    const requests: Buffer[] = [];
    for (let id = 10; id < 210; id += 1) {
      requests.push(id % 2 === 0 ? packet(17, id, '/etc') : packet(3, id, '/tmp/never', 0x1a, 0));
    }
    const stream = Buffer.concat(requests);
    for (let at = 0; at < stream.length; at += 17) {
      transport.send(encodeMessage(94, channel, stream.subarray(at, at + 17)));
    }
    const seen = new Map<number, number>();
    while (seen.size < 200) {
      const reply = await next();
      seen.set(reply.readUInt32BE(5), reply[4] === 101 ? reply.readUInt32BE(9) : -1);
    }
    for (let id = 10; id < 210; id += 1) expect(seen.get(id)).toBe(id % 2 === 0 ? -1 : 3);
    expect(existsSync('/tmp/never')).toBe(false);
    send(packet(17, 999, '/etc'));
    expect((await next()).readUInt32BE(5)).toBe(999);
  });

  it('ends a session that sends a packet of impossible length', async () => {
    const { transport, channel } = await openSftp();
    transport.send(encodeMessage(94, channel, Buffer.from([0x7f, 0, 0, 0, 3])));
    await transport.ended;
    const reasons = () =>
      harness.events.flatMap(({ type, reason }) => (type === 'session.ended' ? [reason] : []));
    await expect.poll(reasons).toContain('protocol');
  });
});

describe('key exchange', () => {
  function rawHandshake(
    lists: { kex?: string[]; cipher?: string[]; mac?: string[] },
    ignoreFirst = false,
  ) {
    const direction = {
      cipher: lists.cipher ?? ['aes128-gcm@openssh.com'],
      mac: lists.mac ?? ['hmac-sha2-256-etm@openssh.com'],
      compress: ['none'],
      lang: [],
    };
    const socket = connect({ port: harness.port, host: '127.0.0.1', noDelay: true });
    socket.on('error', () => undefined);
    onTestFinished(() => {
      socket.destroy();
    });
    return new Promise<{ negotiated?: { cs: { cipher: string } }; text?: string; strict: boolean }>(
      (resolve) => {
        let messages = 0;
        const protocol = new Protocol({
          offer: new KexInit({
            kex: lists.kex ?? ['curve25519-sha256'],
            serverHostKey: ['ssh-ed25519', 'ecdsa-sha2-nistp256'],
            cs: direction,
            sc: direction,
          }),
          hostVerifier: () => true,
          onWrite: (data: Buffer) => {
            messages += 1;
            // The first write is the identification, the second KEXINIT.
            socket.write(data);
            if (ignoreFirst && messages === 2)
              socket.write(Buffer.from([0, 0, 0, 12, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
          },
          onError: (error: Error) => resolve({ text: error.message, strict: false }),
          onHandshakeComplete: (negotiated: { cs: { cipher: string } }) =>
            resolve({ negotiated, strict: protocol._strictMode === true }),
          messageHandlers: {
            DISCONNECT: (_protocol: unknown, _reason: number, text: string) =>
              resolve({ text, strict: false }),
          },
        });
        socket.on('data', (chunk: Buffer) => {
          try {
            protocol.parse(chunk, 0, chunk.length);
          } catch (thrown) {
            resolve({ text: String(thrown), strict: false });
          }
        });
        socket.on('close', () => resolve({ text: 'closed', strict: false }));
        protocol.start();
      },
    );
  }

  const strict = ['curve25519-sha256', 'kex-strict-c-v00@openssh.com'];

  it('is strict with whoever knows how', async () => {
    expect((await rawHandshake({ kex: strict })).strict).toBe(true);
  });

  it('works without strictness, in a cipher that needs none', async () => {
    const result = await rawHandshake({
      cipher: ['chacha20-poly1305@openssh.com', 'aes256-cbc', 'aes128-gcm@openssh.com'],
    });
    expect(result.negotiated?.cs.cipher).toBe('aes128-gcm@openssh.com');
  });

  it('takes counter mode from clients that know no GCM, and only with SHA-2', async () => {
    const result = await rawHandshake({
      cipher: ['aes128-ctr'],
      mac: ['hmac-sha2-256-etm@openssh.com'],
    });
    expect(result.negotiated?.cs.cipher).toBe('aes128-ctr');
  });

  it('ends at a message in between when it is strict', async () => {
    const result = await rawHandshake({ kex: strict }, true);
    expect(result.negotiated).toBeUndefined();
  });

  it.each([
    ['CBC', { cipher: ['aes256-cbc', '3des-cbc'] }],
    ['SHA-1 MACs', { cipher: ['aes128-ctr'], mac: ['hmac-sha1'] }],
  ])('has no common algorithm with %s alone', async (_what, lists) => {
    const socket = connect({ port: harness.port, host: '127.0.0.1' });
    onTestFinished(() => {
      socket.destroy();
    });
    socket.on('error', () => undefined);
    const names = (list: string[]) => encodeFields(list.join(','));
    const both = (list: string[]) => [names(list), names(list)];
    const body = Buffer.concat([
      Buffer.of(20),
      randomBytes(16),
      names(strict),
      names(['ecdsa-sha2-nistp256', 'ssh-ed25519']),
      ...both(lists.cipher),
      ...both('mac' in lists ? lists.mac : ['hmac-sha2-256']),
      ...both(['none']),
      ...both([]),
      Buffer.alloc(5),
    ]);
    const padding = 8 - ((5 + body.length) % 8) + 8;
    const packet = Buffer.concat([
      encodeFields(body.length + padding + 1),
      Buffer.of(padding),
      body,
      Buffer.alloc(padding),
    ]);
    socket.write(Buffer.concat([Buffer.from('SSH-2.0-old\r\n'), packet]));
    let answer = '';
    for await (const chunk of socket as AsyncIterable<Buffer>) answer += chunk.toString('latin1');
    expect(answer).toContain('no common algorithm');
  });
});
