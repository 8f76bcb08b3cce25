import { execFileSync } from 'node:child_process';

import { parseSshCertificate, sshPublicKey } from '@gatehouse/identity';
import { bindingAvailable } from 'ssh2/lib/protocol/crypto.js';
import { describe, expect, it } from 'vitest';

import { encodeMessage } from '../wire/codec.js';
import { hostCertificateAlgorithms, plainHostKeyAlgorithms } from './algorithms.js';
import { connectPair } from './testing.js';

/** Makes and drops ciphers, so that they are collected while no JavaScript runs. */
const collectScript = `
  const { createCipher, createDecipher, CIPHER_INFO } = require('ssh2/lib/protocol/crypto.js');
  const info = CIPHER_INFO['aes128-gcm@openssh.com'];
  const leg = () => ({ onPayload() {}, onWrite() {}, seqno: 0, cipherInfo: info, decipherInfo: info,
    cipherIV: Buffer.alloc(12), decipherIV: Buffer.alloc(12), cipherKey: Buffer.alloc(16), decipherKey: Buffer.alloc(16) });
  let rounds = 0;
  const timer = setInterval(() => {
    for (let i = 0; i < 2000; i += 1) { createCipher({ outbound: leg() }); createDecipher({ inbound: leg() }); }
    rounds += 1;
    if (rounds === 30) { clearInterval(timer); setTimeout(() => console.log('alive'), 200); }
  }, 5);`;

describe('the ssh2 underneath', () => {
  it('has its native ciphers', () => {
    expect(bindingAvailable).toBe(true);
  });

  // Node 24.19 and later abort when a node::ObjectWrap is collected outside a context; the patch avoids the class.
  it('lets ciphers be collected without ending the process', () => {
    const out = execFileSync(process.execPath, ['-e', collectScript], { cwd: import.meta.dirname });
    expect(out.toString()).toBe('alive\n');
  });
});

describe('a transport', () => {
  it('shows the host certificate, and the plain key to those that know no certificates', async () => {
    let shown = Buffer.alloc(0);
    const verifyHostKey = (blob: Buffer) => {
      shown = Buffer.from(blob);
      return true;
    };
    const first = await connectPair({
      hostKeyAlgorithms: hostCertificateAlgorithms,
      verifyHostKey,
    });
    await first.client.ready();
    expect(parseSshCertificate(shown).principals).toEqual(['web-1']);
    expect(first.client.strictKeyExchange && first.server.strictKeyExchange).toBe(true);
    expect(first.client.sessionId.equals(first.server.sessionId)).toBe(true);
    const second = await connectPair({ hostKeyAlgorithms: plainHostKeyAlgorithms, verifyHostKey });
    await second.client.ready();
    expect(shown.equals(sshPublicKey(second.host.privateKeyPem))).toBe(true);
  });

  it('ends when the host key is not the expected one', async () => {
    const { client, server } = await connectPair({
      hostKeyAlgorithms: hostCertificateAlgorithms,
      verifyHostKey: () => false,
    });
    await expect(client.ready()).rejects.toThrow();
    await server.ended;
  });

  it('keeps the order of messages over many key exchanges started by both sides', async () => {
    const { client, server } = await connectPair({ hostKeyAlgorithms: hostCertificateAlgorithms });
    await client.ready();
    client.setAuthenticated();
    server.setAuthenticated();
    const seen: number[] = [];
    const done = new Promise<void>((resolve) => {
      server.stream((message) => {
        seen.push(message.readUInt32BE(1));
        if (seen.length === 2000) resolve();
      });
    });
    client.stream(() => undefined);
    for (let i = 0; i < 2000; i += 1) {
      client.send(encodeMessage(94, i, 'x'.repeat(100)));
      if (i % 300 === 0) client.rekey();
      if (i % 350 === 0) server.rekey();
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await done;
    expect(seen).toEqual(Array.from({ length: 2000 }, (_, i) => i));
  });

  it('says why when no algorithm is common', async () => {
    const { client, server } = await connectPair({ hostKeyAlgorithms: ['ssh-rsa'] });
    await expect(client.ready()).rejects.toThrow('no common algorithm');
    expect((await server.ended).text).toContain('no matching host key format');
  });

  it('tells the other side what it disconnects for, before and after the key exchange', async () => {
    const early = await connectPair({ hostKeyAlgorithms: hostCertificateAlgorithms });
    early.server.disconnect(11, 'not now');
    expect(await early.client.ended).toMatchObject({ by: 'peer', text: 'not now' });
    const late = await connectPair({ hostKeyAlgorithms: hostCertificateAlgorithms });
    await late.client.ready();
    late.server.disconnect(11, 'locked: incident 7');
    expect(await late.client.ended).toMatchObject({ by: 'peer', text: 'locked: incident 7' });
  });

  it('stops reading when nobody asks for messages', async () => {
    const { client, server } = await connectPair({ hostKeyAlgorithms: hostCertificateAlgorithms });
    await client.ready();
    for (let i = 0; i < 5000; i += 1) client.send(encodeMessage(94, i, Buffer.alloc(1000)));
    for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(server.isPaused).toBe(true);
    expect(client.congested).toBe(true);
    for (let i = 0; i < 5000; i += 1) expect((await server.read()).readUInt32BE(1)).toBe(i);
  });
});
