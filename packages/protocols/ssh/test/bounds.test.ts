/** What one person's connection may take of the process that serves it. */
import { createPrivateKey } from 'node:crypto';

import { issueTestUser } from '@gatehouse/identity/testing';
import { expect, it, onTestFinished, vi } from 'vitest';

import { loginRaw, RawConnection } from '../src/testing-client.js';
import { messageType } from '../src/wire/message-types.js';
import { startHarness, startWithSshd, type Harness } from './harness.js';

async function credentialOf({ authorities }: Harness) {
  const user = await issueTestUser(authorities, { user: 'alice', keyType: 'ed25519' });
  return { certificate: user.sshCertificate, key: createPrivateKey(user.privateKeyPem) };
}

// 200 channels with 2 MiB each stayed in memory: nothing runs at a jump host, so nothing read them.
it('a jump host keeps nothing of what it is sent', async () => {
  const harness = await startHarness();
  onTestFinished(async () => harness.close());
  const credential = await credentialOf(harness);
  using client = await loginRaw({ port: harness.port, userName: 'alice', ...credential });
  const { id } = await client.openSession();
  for (let sent = 0; sent < 60; sent += 1)
    client.send(messageType.channelData, id, Buffer.alloc(32_768));
  // Only what was read is asked for again.
  let granted = 0;
  while (granted < 1024 * 1024)
    granted += (await client.next(messageType.channelWindowAdjust)).readUInt32BE(5);
});

// A broken message behind the authentication left a timer, and with it the connection, behind.
it('a client whose first message is broken leaves nothing behind', async () => {
  const { harness, sshd } = await startWithSshd();
  onTestFinished(async () => {
    await harness.close();
    await sshd[Symbol.asyncDispose]();
  });
  const credential = await credentialOf(harness);
  const start = vi.spyOn(globalThis, 'setInterval');
  const stop = vi.spyOn(globalThis, 'clearInterval');
  onTestFinished(() => {
    start.mockRestore();
    stop.mockRestore();
  });
  const connection = await new RawConnection({ port: harness.port }).ready();
  connection.prove('root@web-1', credential);
  connection.send(messageType.channelOpen, 'session');
  await connection.ended();
  const left = () => {
    const stopped = new Set<unknown>(stop.mock.calls.map(([timer]) => timer));
    const flushing = start.mock.results.filter(
      (_result, index) => start.mock.calls[index]?.[1] === 10_000,
    );
    return {
      flushing: flushing.length,
      left: flushing.filter(({ value }) => !stopped.has(value)).length,
    };
  };
  await expect.poll(left).toEqual({ flushing: 1, left: 0 });
});
