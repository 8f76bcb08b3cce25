import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';

import { GatehouseError } from '@gatehouse/kit/errors';
import { createRandom, type Random } from '@gatehouse/kit/testing';
import { expect, it, onTestFinished } from 'vitest';

import { cancelStatement, logIn } from './log-in.js';

const services = {
  databaseCertificate: () => Promise.reject(new Error('no certificate is asked for')),
};

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function message(type: string, body: Buffer | string = ''): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([Buffer.from(type), int32(bytes.length + 4), bytes]);
}

const letIn = message('R', int32(0));
const parameter = message('S', 'server_encoding\0UTF8\0');
const key = message('K', Buffer.concat([int32(7), int32(9)]));
const notice = message('N', 'SNOTICE\0Mwelcome\0\0');
const ready = message('Z', 'I');

/** A server that says what it is told to as soon as it hears anything, and what else happened to its connections. */
async function startServer(answer: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => socket.destroy());
    socket.once('data', () => answer(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const dial = (deadlineMs: number) => ({
    sessionId: 'ses_1',
    target: 'pg-1',
    spec: { protocol: 'postgres', address: `127.0.0.1:${port}`, tls: 'off' } as const,
    principal: 'reader',
    user: 'alice',
    details: {},
    signal: AbortSignal.timeout(deadlineMs),
  });
  return { sockets, dial };
}

/** What comes of a login at a server that answers so, which leaves its connection open. */
async function logInAt(chunks: readonly Buffer[], deadlineMs = 5000) {
  const { dial } = await startServer((socket) => {
    socket.setNoDelay(true);
    const say = ([chunk, ...more]: readonly Buffer[]) => {
      if (chunk === undefined) return;
      socket.write(chunk);
      setTimeout(say, 2, more);
    };
    say(chunks);
  });
  const stream = await logIn(services, dial(deadlineMs), {});
  onTestFinished(() => void stream.destroy());
  return stream;
}

async function readBytes(stream: NodeJS.ReadableStream, count: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    chunks.push(Buffer.from(chunk));
    size += chunk.length;
    if (size >= count) break;
  }
  return Buffer.concat(chunks);
}

it('hands on what follows AuthenticationOk, also what came along with ReadyForQuery', async () => {
  // What `pg` would not live through.
  const further = Buffer.concat([message('D', Buffer.of(255, 255)), message('N')]);
  const said = Buffer.concat([parameter, key, notice, ready, further]);
  const stream = await logInAt([Buffer.concat([notice, letIn, said])]);
  expect(await readBytes(stream, said.length)).toEqual(said);
});

it('hands on the same where it came byte by byte', async () => {
  const said = Buffer.concat([parameter, key, ready, message('N')]);
  const bytes = Buffer.concat([letIn, said]);
  const stream = await logInAt([...bytes].map((byte) => Buffer.of(byte)));
  expect(await readBytes(stream, said.length)).toEqual(said);
});

it('tells what the server refuses with, cut', async () => {
  await expect(
    logInAt([message('E', `SFATAL\0C3D000\0Mno such database${'x'.repeat(10_000)}\0\0`)]),
  ).rejects.toMatchObject({
    code: 'POSTGRES_LOGIN_FAILED',
    publicMessage: expect.stringMatching(/^no such databasex{484}$/) as string,
  });
});

it.each([
  ['a cancel key without a body', [letIn, message('K')]],
  ['a cancel key that is too long', [letIn, message('K', Buffer.alloc(9))]],
  ['a second AuthenticationOk', [letIn, letIn, ready]],
  ['ready without AuthenticationOk', [ready]],
  ['a parameter before AuthenticationOk', [parameter, letIn, ready]],
  ['a status without a body', [letIn, message('Z')]],
  ['a status that is none', [letIn, message('Z', 'X')]],
  ['an authentication without a body', [message('R')]],
  ['an authentication that is cut short', [message('R', Buffer.of(0, 0))]],
  ['md5 without a salt', [message('R', int32(5))]],
  ['mechanisms without an end', [message('R', Buffer.concat([int32(10), Buffer.from('SCRAM')]))]],
  ['a step of SCRAM over and over', Array.from({ length: 2 }, () => message('R', int32(11)))],
  ['a row', [letIn, message('D', Buffer.of(255, 255))]],
  ['a negotiation that nobody asked for', [message('v', Buffer.alloc(8))]],
  ['a parameter without an end', [letIn, message('S', 'name\0value')]],
  ['an impossible length', [Buffer.concat([Buffer.from('N'), int32(-1)])]],
  ['a length below its own', [Buffer.concat([Buffer.from('R'), int32(3)])]],
  ['a long authentication', [Buffer.concat([Buffer.from('R'), int32(3000)])]],
  [
    'notices without an end',
    Array.from({ length: 20 }, () => message('N', `M${'n'.repeat(60_000)}\0\0`)),
  ],
  ['a notice whose last field has no end', [message('N', 'Mtext')]],
  ['an error that goes on behind its end', [message('E', 'Mtext\0\0more')]],
  ['an error without a body', [message('E')]],
  ['a notice without a body', [message('N')]],
])('fails a login at a server that says %s', async (_what, said) => {
  await expect(logInAt([Buffer.concat(said)])).rejects.toMatchObject({
    code: 'POSTGRES_LOGIN_FAILED',
    publicMessage: expect.stringContaining('the database server breaks the protocol: ') as string,
  });
});

it('says so where the server asks for what the agent does not have', async () => {
  await expect(logInAt([message('R', int32(7))])).rejects.toMatchObject({
    code: 'POSTGRES_LOGIN_FAILED',
    publicMessage: 'the database asks for a way to log in that its agent does not have',
  });
});

const types = 'RRRRKSENZvADTtGHWdC12I';
const codes = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 99, -1];
const texts = ['', 'SCRAM-SHA-256\0\0', 'r=a,s=AAAA,i=1', 'v=AAAA', 'salt', 'Mtext\0\0', 'a\0b\0'];

/** Messages of a login, some of them damaged; never one that ends a login well. */
function randomGreeting(from: Random): Buffer {
  const random = (bound: number) => from.below(bound);
  const parts = Array.from({ length: 1 + random(6) }, () => {
    const type = types[random(types.length)] ?? 'N';
    const text = Buffer.from(texts[random(texts.length)] ?? '');
    const noise = Buffer.from(Array.from({ length: random(12) }, () => random(256)));
    const body = [text, noise, Buffer.concat([int32(codes[random(codes.length)] ?? 0), text])];
    const made = message(
      type,
      type === 'Z' ? noise.fill(0x58) : body[type === 'R' ? 2 : random(3)],
    );
    if (random(6) === 0) made[random(made.length)] = random(256);
    return random(8) === 0 ? made.subarray(0, random(made.length)) : made;
  });
  return Buffer.concat([...(random(2) === 0 ? [letIn] : []), ...parts]);
}

it('outlives whatever a server says, and refuses it in time', { timeout: 60_000 }, async () => {
  const uncaught: unknown[] = [];
  const onUncaught = (thrown: unknown) => void uncaught.push(thrown);
  process.on('uncaughtException', onUncaught);
  process.on('unhandledRejection', onUncaught);
  onTestFinished(() => {
    process.off('uncaughtException', onUncaught);
    process.off('unhandledRejection', onUncaught);
  });
  for (let seed = 1; seed <= 400; seed += 1) {
    const random = createRandom(`greeting ${seed}`);
    const said = randomGreeting(random);
    const cut = random.below(said.length);
    const { dial } = await startServer((socket) => {
      socket.write(said.subarray(0, cut));
      setTimeout(() => void socket.end(said.subarray(cut)), 1);
    });
    const began = performance.now();
    const thrown: unknown = await logIn(services, dial(1000), {}).catch((error: unknown) => error);
    expect(thrown, `seed ${seed}`).toBeInstanceOf(GatehouseError);
    expect(performance.now() - began, `seed ${seed}`).toBeLessThan(2500);
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(uncaught).toEqual([]);
});

it('gives a server up that never ends a login', async () => {
  await expect(logInAt([letIn], 200)).rejects.toMatchObject({ code: 'TARGET_UNREACHABLE' });
});

it('asks to cancel, and takes a closed connection for the answer', async () => {
  const { dial } = await startServer((socket) => socket.end());
  await cancelStatement(services, dial(5000), { processId: 7, secretKey: 9 });
});

it('hears no word of an answer to a cancel request', async () => {
  const chunk = Buffer.alloc(1024 * 1024);
  const { sockets, dial } = await startServer((socket) => {
    const pump = () => {
      while (!socket.destroyed) if (!socket.write(chunk)) return void socket.once('drain', pump);
    };
    socket.write(Buffer.concat([Buffer.from('d'), int32(0x7fff_fff0)]));
    pump();
  });
  const asked = cancelStatement(services, dial(5000), { processId: 7, secretKey: 9 });
  await expect(asked).rejects.toMatchObject({
    code: 'POSTGRES_LOGIN_FAILED',
    publicMessage: 'the database server breaks the protocol: it answers a cancel request',
  });
  const [socket] = sockets;
  await expect.poll(() => socket?.closed).toBe(true);
  expect(socket?.bytesWritten).toBeLessThan(64 * 1024 * 1024);
});
