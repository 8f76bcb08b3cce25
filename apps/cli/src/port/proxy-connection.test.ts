import { once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';

import { derToPem } from '@gatehouse/identity';
import {
  createTestAuthorities,
  issueTestUser,
  type TestAuthorities,
} from '@gatehouse/identity/testing';
import { beforeAll, describe, expect, it } from 'vitest';

import { startTestPort } from '../testing.js';
import { joinWithStandardStreams, openProxyConnection, RefusedError } from './proxy-connection.js';

let authorities: TestAuthorities;
let tls: { key: string; certificate: string; ca: string };

beforeAll(async () => {
  authorities = await createTestAuthorities('home');
  const user = await issueTestUser(authorities);
  tls = {
    key: user.privateKeyPem,
    certificate: derToPem(user.tlsCertificate, 'CERTIFICATE'),
    ca: derToPem(authorities.hostTls.certificate, 'CERTIFICATE'),
  };
});

function answer(socket: TLSSocket, reply: object, rest: Uint8Array = Buffer.alloc(0)): void {
  const json = Buffer.from(JSON.stringify(reply));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(json.length);
  socket.write(Buffer.concat([length, json, rest]));
}

async function readPreface(socket: TLSSocket): Promise<unknown> {
  const [first] = (await once(socket, 'data')) as [Buffer];
  socket.pause();
  return JSON.parse(first.toString('utf8', 2));
}

const alpn = 'gatehouse-ssh';
const preface = { target: 'web-1', login: 'deploy', client: 'gate/test' };

describe('openProxyConnection', () => {
  it('shows the certificate, says where to go, and carries bytes and their end both ways', async () => {
    let seen: unknown;
    let subject: string | undefined;
    await using port = await startTestPort(authorities, {
      async onSsh(socket) {
        subject = socket.getPeerX509Certificate()?.subjectAltName;
        seen = await readPreface(socket);
        answer(socket, { session: 'ses_1' }, Buffer.from('SSH-2.0-gate\r\n'));
        const received = await buffer(socket);
        socket.end(`got ${received.length}`);
      },
    });
    const socket = await openProxyConnection({
      address: port.address,
      cluster: 'home',
      tls,
      alpn,
      preface,
    });
    const output = new PassThrough();
    const input = Readable.from([Buffer.alloc(3_000_000, 1), Buffer.alloc(1, 3)]);
    const text = buffer(output);
    await joinWithStandardStreams(socket, input, output);
    output.end();
    expect((await text).toString()).toBe('SSH-2.0-gate\r\ngot 3000001');
    expect(seen).toEqual({ v: 1, ...preface });
    expect(subject).toContain('/user/alice');
  });

  it('loses nothing to a slow reader and keeps the memory bounded', async () => {
    const total = 24 << 20;
    await using port = await startTestPort(authorities, {
      async onSsh(socket) {
        await readPreface(socket);
        answer(socket, { session: 'ses_1' });
        Readable.from(chunks(total)).pipe(socket);
      },
    });
    const socket = await openProxyConnection({
      address: port.address,
      cluster: 'home',
      tls,
      alpn,
      preface,
    });
    let received = 0;
    let mostBuffered = 0;
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        received += chunk.length;
        mostBuffered = Math.max(mostBuffered, output.writableLength + socket.readableLength);
        setImmediate(done);
      },
    });
    await joinWithStandardStreams(socket, new PassThrough(), output);
    expect(received).toBe(total);
    expect(mostBuffered).toBeLessThan(1 << 20);
  });

  it('says in the words of the proxy why it was refused', async () => {
    await using port = await startTestPort(authorities, {
      async onSsh(socket) {
        await readPreface(socket);
        answer(socket, { error: { code: 'LOCKED', message: 'locked: incident 7', id: 'err_1' } });
        socket.end();
      },
    });
    const opening = openProxyConnection({
      address: port.address,
      cluster: 'home',
      tls,
      alpn,
      preface,
    });
    await expect(opening).rejects.toBeInstanceOf(RefusedError);
    await expect(opening).rejects.toMatchObject({
      refusal: { message: 'locked: incident 7', id: 'err_1' },
    });
  });

  it('does not talk to another part of the cluster, nor to a proxy of another', async () => {
    await using auth = await startTestPort(authorities, { kind: 'auth' });
    await expect(
      openProxyConnection({ address: auth.address, cluster: 'home', tls, alpn, preface }),
    ).rejects.toThrow('no proxy of cluster home');
    await using proxy = await startTestPort(authorities, {});
    await expect(
      openProxyConnection({ address: proxy.address, cluster: 'work', tls, alpn, preface }),
    ).rejects.toThrow('no proxy of cluster work');
  });

  it('does not talk to a proxy of another authority', async () => {
    await using port = await startTestPort(await createTestAuthorities('home'), {});
    await expect(
      openProxyConnection({ address: port.address, cluster: 'home', tls, alpn, preface }),
    ).rejects.toThrow('of another authority');
  });

  it('says what stands in the way where nobody listens, and where the connection is cut', async () => {
    const port = await startTestPort(authorities, { onSsh: (socket) => void socket.destroy() });
    await expect(
      openProxyConnection({ address: port.address, cluster: 'home', tls, alpn, preface }),
    ).rejects.toThrow('refused before an answer');
    await port[Symbol.asyncDispose]();
    await expect(
      openProxyConnection({ address: port.address, cluster: 'home', tls, alpn, preface }),
    ).rejects.toThrow('connection refused');
  });
});

function* chunks(total: number): Generator<Buffer> {
  for (let sent = 0; sent < total; sent += 65_536) yield Buffer.alloc(65_536, sent >> 16);
}
