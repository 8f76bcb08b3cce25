import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { joinStreams } from '@gatehouse/kit/net';
import { breakConnection, type IncomingDial } from '@gatehouse/tunnel';
import { expect, it } from 'vitest';

import { createTarget, createTunnelPair } from './tunnel-pair.js';

/** Joins every dial with the target at a port, as the agent does. */
function dialTo(port: number): (dial: IncomingDial) => void {
  return (dial) => {
    const target = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    target.on('error', () => undefined);
    target.once('connect', () => {
      if (dial.signal.aborted) {
        target.destroy();
        return;
      }
      joinStreams(dial.accept(), target, { breakStream: breakConnection }).catch(() => undefined);
    });
  };
}

const dial = { grant: 'a.b.c', sessionId: 'ses_1' };

const echo = (socket: net.Socket) => {
  socket.pipe(socket);
};

async function hashOf(stream: Readable): Promise<{ bytes: number; digest: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  // Not by iteration, which destroys both directions at the end of one.
  stream.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  await once(stream, 'end');
  return { bytes, digest: hash.digest('hex') };
}

/** `megabytes` MiB of random blocks, and their digest. */
function randomSource(megabytes: number): { stream: Readable; digest: string } {
  const block = randomBytes(1 << 20);
  const hash = createHash('sha256');
  for (let index = 0; index < megabytes; index += 1) hash.update(block);
  return {
    stream: Readable.from(Array.from({ length: megabytes }, () => block)),
    digest: hash.digest('hex'),
  };
}

it('carries 64 MiB each way at once, and each end as an end', async () => {
  const down = randomSource(64);
  let received: Promise<{ bytes: number; digest: string }> | undefined;
  const port = await createTarget((socket) => {
    down.stream.pipe(socket);
    received = hashOf(socket);
  });
  const pair = await createTunnelPair(dialTo(port));
  const stream = await pair.service.open(dial);
  const up = randomSource(64);
  up.stream.pipe(stream);
  expect(await hashOf(stream)).toEqual({ bytes: 64 << 20, digest: down.digest });
  expect(await received).toEqual({ bytes: 64 << 20, digest: up.digest });
  if (!stream.closed) await once(stream, 'close');
  await expect.poll(() => pair.agent.streamCount).toBe(0);
  await expect.poll(() => pair.service.streamCount).toBe(0);
});

it('answers after the request has ended, and ends a request after the answer has', async () => {
  const port = await createTarget((socket) => {
    socket.on('data', (chunk: Buffer) => {
      if (chunk.toString().includes('end first')) socket.end('ended');
    });
    socket.once('end', () => socket.end('late answer'));
  });
  const pair = await createTunnelPair(dialTo(port));
  const asks = await pair.service.open(dial);
  asks.end('question');
  expect((await asks.toArray()).join('')).toBe('late answer');
  const tells = await pair.service.open(dial);
  tells.write('end first');
  expect((await tells.toArray()).join('')).toBe('ended');
  expect(tells.writable).toBe(true);
  tells.end('still heard');
  await once(tells, 'close');
});

it('hands on what the agent says no with', async () => {
  const pair = await createTunnelPair((incoming) => {
    expect(incoming).toMatchObject({
      grant: 'a.b.c',
      sessionId: 'ses_1',
      traceparent: '00-1-2-00',
    });
    incoming.refuse('not_allowed_by_agent', 'grant: für wen?\n');
  });
  await expect(pair.service.open({ ...dial, traceparent: '00-1-2-00' })).rejects.toMatchObject({
    kind: 'permission_denied',
    reason: 'not_allowed_by_agent',
    message: 'grant: für wen?\n',
  });
  await expect.poll(() => pair.agent.streamCount).toBe(0);
});

it('tells a reset from an end, in both directions, also after a half-close', async () => {
  const port = await createTarget((socket) => {
    socket.write('part');
    socket.once('end', () => socket.resetAndDestroy());
    socket.on('data', () => socket.resetAndDestroy());
  });
  const pair = await createTunnelPair(dialTo(port));
  for (const send of [(s: Duplex) => s.write('x'), (s: Duplex) => s.end()]) {
    const stream = await pair.service.open(dial);
    await once(stream, 'data');
    stream.resume();
    send(stream);
    const [error] = (await once(stream, 'error')) as [unknown];
    expect(error).toMatchObject({ reason: 'closed' });
    expect(stream.readableEnded).toBe(false);
  }
});

it('never shows a cut tunnel as the end of a download', async () => {
  const port = await createTarget((socket) => socket.write('part'));
  const pair = await createTunnelPair(dialTo(port));
  const open = await pair.service.open(dial);
  const halfClosed = await pair.service.open(dial);
  halfClosed.end();
  await Promise.all([once(open, 'data'), once(halfClosed, 'data')]);
  const errors = [open, halfClosed].map(async (stream) => {
    stream.resume();
    await once(stream, 'close').catch(() => undefined);
    return stream.readableEnded;
  });
  pair.cut();
  expect(await Promise.all(errors)).toEqual([false, false]);
  expect((await pair.service.closed).reason).toMatch(/broken|left/);
  await expect(pair.service.open(dial)).rejects.toMatchObject({ reason: 'agent_lost' });
});

it('takes a FIN for the end of the tunnel, at both ends and at once', async () => {
  const port = await createTarget((socket) => socket.write('part'));
  const pair = await createTunnelPair(dialTo(port));
  const stream = await pair.service.open(dial);
  await once(stream, 'data');
  const lost = once(stream.resume(), 'error');
  const startedMs = performance.now();
  pair.finish();
  expect(await lost).toMatchObject([{ reason: 'agent_lost' }]);
  expect(await pair.service.closed).toMatchObject({ reason: 'left' });
  expect(await pair.agent.closed).toMatchObject({ reason: 'left' });
  // The pings would find it out after 18 s.
  expect(performance.now() - startedMs).toBeLessThan(9_000);
});

it(
  'keeps every other stream alive through 5,000 opened and aborted ones',
  { timeout: 240_000 },
  async () => {
    let connections = 0;
    const port = await createTarget((socket) => {
      connections += 1;
      echo(socket);
    });
    const pair = await createTunnelPair(dialTo(port));
    const bystander = await pair.service.open(dial);
    for (let round = 0; round < 50; round += 1) {
      await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          const abort = new AbortController();
          const opening = pair.service.open({ ...dial, signal: abort.signal });
          opening.catch(() => undefined);
          if (index % 2 === 0) {
            abort.abort(new Error('changed my mind'));
            await expect(opening).rejects.toThrow('changed my mind');
            return;
          }
          const stream = await opening;
          stream.write(Buffer.alloc(4096));
          breakConnection(stream, bystander, undefined);
        }),
      );
    }
    bystander.end('still here');
    expect((await bystander.toArray()).join('')).toBe('still here');
    expect(connections).toBeGreaterThan(2000);
    await expect.poll(() => pair.agent.streamCount, { timeout: 10_000 }).toBe(0);
    await expect.poll(() => pair.service.streamCount).toBe(0);
  },
);

it('lets other streams run while one is not read, and holds at most a window for it', async () => {
  const port = await createTarget((socket) => {
    socket.on('data', (chunk: Buffer) => {
      const size = Number(chunk.toString());
      socket.end(Buffer.alloc(size));
    });
  });
  const pair = await createTunnelPair(dialTo(port));
  const stalled = await pair.service.open(dial);
  stalled.write(String(32 << 20));
  await once(stalled, 'readable');
  await sleep(200);
  const other = await pair.service.open(dial);
  other.write(String(32 << 20));
  other.end();
  expect((await hashOf(other)).bytes).toBe(32 << 20);
  expect(stalled.readableLength).toBeLessThanOrEqual((1 << 20) + 65_536);
  stalled.end();
  expect((await hashOf(stalled)).bytes).toBe(32 << 20);
});

it('finds a half-dead tunnel by its pings, at both ends', async () => {
  const port = await createTarget(echo);
  const pair = await createTunnelPair(dialTo(port), { pingIntervalMs: 500 });
  const stream = await pair.service.open(dial);
  await sleep(1_700);
  expect(stream.destroyed).toBe(false);
  pair.freeze();
  const lost = once(stream, 'close').catch(() => undefined);
  expect(await pair.service.closed).toMatchObject({ reason: 'ping' });
  expect(await pair.agent.closed).toMatchObject({ reason: 'ping' });
  await lost;
});

it('refuses more streams than the limit, and takes one again after another has gone', async () => {
  const port = await createTarget(echo);
  const pair = await createTunnelPair(dialTo(port), { maxStreams: 2 });
  const [first] = await Promise.all([pair.service.open(dial), pair.service.open(dial)]);
  await expect(pair.service.open(dial)).rejects.toMatchObject({ reason: 'busy' });
  first.end();
  first.resume();
  await once(first, 'close');
  await pair.service.open(dial);
});

it('carries control messages both ways beside connections', async () => {
  const pair = await createTunnelPair(() => undefined);
  const control = await pair.agent.control;
  control.send({
    message: { $case: 'hello', value: { version: '1', targets: [], dynamic: [], nonce: 7n } },
  });
  const heard = await pair.service.control.messages().next();
  expect(heard.value).toMatchObject({ message: { $case: 'hello', value: { nonce: 7n } } });
  const documentsJson = ['x'.repeat(900_000)];
  pair.service.control.send({ message: { $case: 'locks', value: { documentsJson } } });
  pair.service.control.send({ message: { $case: 'drain', value: {} } });
  const messages = control.messages();
  expect((await messages.next()).value).toMatchObject({
    message: { $case: 'locks', value: { documentsJson } },
  });
  expect((await messages.next()).value).toMatchObject({ message: { $case: 'drain' } });
  pair.service.close();
  expect(await messages.next()).toMatchObject({ done: true });
  expect((await pair.agent.closed).reason).toBe('left');
});
