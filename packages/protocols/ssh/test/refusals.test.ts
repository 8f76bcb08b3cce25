/** Who does not get in, and what they are told. */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  formatSshPublicKey,
  generateKeyPair,
  issueSshCertificate,
  sshPublicKey,
} from '@gatehouse/identity';
import { createTestAuthorities, issueTestHost, issueTestUser } from '@gatehouse/identity/testing';
import { hostError } from '@gatehouse/protocol-api';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { connectTcp } from '../src/node/connect-tcp.js';
import {
  addSshd,
  dialTcp,
  run,
  ssh,
  sshOptions,
  startWithSshd,
  writeUserFiles,
  type Harness,
  type UserFiles,
} from './harness.js';

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
  harness.events.length = 0;
});

let counter = 0;
async function filesOf(user: {
  privateKeyPem: string;
  sshCertificate: Buffer;
}): Promise<UserFiles> {
  counter += 1;
  return writeUserFiles(join(harness.dir, `u${counter}`), harness.authorities, user);
}

const refusedReason = async () => (await harness.waitForEvent('connection.refused')).at(-1)?.reason;

describe('a certificate', () => {
  it('is refused after its end, with the time and the remedy', async () => {
    const user = await issueTestUser(harness.authorities, {
      user: 'alice',
      validBeforeMs: Date.now() - 1000,
    });
    const result = await ssh(harness, 'root@web-1', ['true'], { files: await filesOf(user) });
    expect(result.code).toBe(255);
    expect(result.stderr).toMatch(/certificate expired at .*; run gate login/);
    expect(result.stderr).toMatch(/err_[0-9a-f]{32}/);
    expect(await refusedReason()).toBe('expired');
  });

  it('is refused before its time', async () => {
    const user = await issueTestUser(harness.authorities, {
      validAfterMs: Date.now() + 86_400_000,
      validBeforeMs: Date.now() + 90_000_000,
    });
    expect((await ssh(harness, 'root@web-1', ['true'], { files: await filesOf(user) })).code).toBe(
      255,
    );
    expect(await refusedReason()).toBe('not_yet_valid');
  });

  it('is refused when another authority signed it', async () => {
    const user = await issueTestUser(await createTestAuthorities('other'), { user: 'alice' });
    expect((await ssh(harness, 'root@web-1', ['true'], { files: await filesOf(user) })).code).toBe(
      255,
    );
    expect(await refusedReason()).toBe('unknown_ca');
  });

  it('works after an unknown key on the same connection, and one event tells of one that only has unknown keys', async () => {
    const stranger = generateKeyPair('ed25519');
    const files = await filesOf({
      privateKeyPem: stranger.privateKeyPem,
      sshCertificate: harness.user.sshCertificate,
    });
    const both = await run('ssh', [
      '-F',
      'none',
      '-o',
      `IdentityFile=${files.key}`,
      '-o',
      'CertificateFile=none',
      ...sshOptions(harness.files),
      '-p',
      String(harness.port),
      'root@web-1@127.0.0.1',
      'echo in',
    ]);
    expect(both.stdout.toString()).toBe('in\n');
    harness.events.length = 0;
    const alone = await run('ssh', [
      '-F',
      'none',
      '-o',
      `IdentityFile=${files.key}`,
      '-o',
      'CertificateFile=/nonexistent',
      '-o',
      'IdentitiesOnly=yes',
      '-o',
      'BatchMode=yes',
      '-o',
      `UserKnownHostsFile=${harness.files.knownHosts}`,
      '-p',
      String(harness.port),
      'root@web-1@127.0.0.1',
      'true',
    ]);
    expect(alone.code).toBe(255);
    expect(alone.stderr).toContain('a certificate is needed; run gate login');
    expect(await refusedReason()).toBe('no_certificate');
    expect(harness.events.filter((event) => event.type === 'connection.refused')).toHaveLength(1);
  });
});

describe('a connection', () => {
  it('that only looks in causes no event', async () => {
    const socket = connect(harness.port, '127.0.0.1');
    await sleep(100);
    socket.destroy();
    const other = connect(harness.port, '127.0.0.1', () => other.write('SSH-2.0-probe\r\n'));
    await sleep(100);
    other.destroy();
    await ssh(harness, 'root@nope', ['true']);
    expect(await refusedReason()).toBe('no_role');
    expect(harness.events.filter((event) => event.type === 'connection.refused')).toHaveLength(1);
  });

  it('to a hidden target is refused in a banner and in the disconnect', async () => {
    const result = await ssh(harness, 'root@nope', ['true']);
    expect(result.code).toBe(255);
    expect(result.stderr.match(/no such target or no access: nope/g)).toHaveLength(2);
  });

  it('survives random bytes at every stage', async () => {
    for (let seed = 0; seed < 40; seed += 1) {
      const noise = createHash('shake256', { outputLength: 400 }).update(String(seed)).digest();
      const socket = connect(harness.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(
        seed % 2 === 0 ? noise : Buffer.concat([Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), noise]),
      );
      await sleep(5);
      socket.destroy();
    }
    expect((await ssh(harness, 'root@web-1', ['true'])).code).toBe(0);
  });
});

describe('a target', () => {
  it.each([
    ['127.0.0.1:1', 'connection refused', 'refused'],
    ['no-such-host.invalid:22', 'name not found', 'not_found'],
  ])('at %s is unreachable: %s', async (address, text, reason) => {
    harness.targets.set('gone', {
      spec: { address },
      dial: () => connectTcp({ target: 'gone', address, signal: AbortSignal.timeout(5000) }),
    });
    const result = await ssh(harness, 'root@gone', ['true']);
    expect(result.code).toBe(255);
    expect(result.stderr).toContain(`could not reach gone: ${text}`);
    expect((await harness.waitForEvent('session.connect_failed'))[0]?.reason).toBe(reason);
  });

  it('whose agent is offline is said to be', async () => {
    harness.targets.set('off', {
      spec: { address: 'x:1' },
      dial: () =>
        Promise.reject(
          hostError('TARGET_OFFLINE', { details: { target: 'off' }, reason: 'offline' }),
        ),
    });
    const result = await ssh(harness, 'root@off', ['true']);
    expect(result.stderr).toContain('agent for off is offline');
    expect(await harness.waitForEvent('session.connect_failed')).toMatchObject([
      { reason: 'offline' },
    ]);
  });

  it('that does not speak is given up after 10 s', async () => {
    const { createServer } = await import('node:net');
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('no address');
    harness.targets.set('mute', {
      spec: { address: `127.0.0.1:${address.port}` },
      dial: dialTcp(`127.0.0.1:${address.port}`),
    });
    const before = Date.now();
    const result = await ssh(harness, 'root@mute', ['true']);
    server.close();
    expect(result.stderr).toContain('could not reach mute: timed out');
    expect(Date.now() - before).toBeLessThan(20_000);
    expect(await harness.waitForEvent('session.connect_failed')).toMatchObject([
      { reason: 'timed_out' },
    ]);
  });

  it('whose host key is neither signed nor pinned is refused, with the fingerprint', async () => {
    await using sshd = await addSshd(harness, 'web-3');
    expect((await ssh(harness, 'root@web-3', ['true'])).code).toBe(0);
    const { startSshd } = await import('../src/testing.js');
    await using replaced = await startSshd({
      dir: join(harness.dir, 'replaced'),
      targetAuthorities: [formatSshPublicKey(harness.authorities.targetSsh.publicKey)],
    });
    harness.targets.set('web-3', {
      spec: { address: replaced.address },
      dial: dialTcp(replaced.address),
    });
    const result = await ssh(harness, 'root@web-3', ['true']);
    expect(result.code).toBe(255);
    expect(result.stderr).toMatch(/host key of web-3 is not the expected one: SHA256:/);
    expect((await harness.waitForEvent('session.connect_failed'))[0]?.reason).toBe('host_key');
    harness.targets.set('web-3', {
      spec: { address: replaced.address, host_key: formatSshPublicKey(replaced.hostKey) },
      dial: dialTcp(replaced.address),
    });
    expect((await ssh(harness, 'root@web-3', ['true'])).code).toBe(0);
    void sshd;
  });

  it('that shows the certificate of another target is refused', async () => {
    const host = await issueTestHost(harness.authorities, ['web-9']);
    await using sshd = await addSshd(harness, 'web-4', { host });
    const result = await ssh(harness, 'root@web-4', ['true']);
    expect(result.stderr).toContain('host key of web-4 is not the expected one');
    void sshd;
  });

  it('is reached by its own host_ca where the document names one', async () => {
    const other = await createTestAuthorities('other');
    const host = await issueTestHost(other, ['web-5']);
    await using sshd = await addSshd(harness, 'web-5', { host });
    expect((await ssh(harness, 'root@web-5', ['true'])).code).toBe(255);
    harness.targets.set('web-5', {
      spec: { address: sshd.address, host_ca: formatSshPublicKey(other.hostSsh.publicKey) },
      dial: dialTcp(sshd.address),
    });
    expect((await ssh(harness, 'root@web-5', ['true'])).code).toBe(0);
  });

  it('that offers only ssh-rsa is refused, and reached where the document permits legacy algorithms', async () => {
    const { execFileSync } = await import('node:child_process');
    const { readFileSync } = await import('node:fs');
    const key = join(harness.dir, 'rsa');
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', key]);
    const { startSshd } = await import('../src/testing.js');
    await using sshd = await startSshd({
      dir: join(harness.dir, 'old'),
      targetAuthorities: [formatSshPublicKey(harness.authorities.targetSsh.publicKey)],
      config: [
        'HostKeyAlgorithms ssh-rsa',
        `HostKey ${key}`,
        'MACs hmac-sha1',
        'Ciphers aes128-ctr',
      ],
    });
    const spec = { address: sshd.address, host_key: readFileSync(`${key}.pub`, 'utf8').trim() };
    harness.targets.set('old-1', { spec, dial: dialTcp(sshd.address) });
    const refused = await ssh(harness, 'root@old-1', ['true']);
    expect(refused.stderr).toContain('target offers only ssh-rsa');
    expect((await harness.waitForEvent('session.connect_failed'))[0]?.reason).toBe('algorithms');
    harness.targets.set('old-1', {
      spec: { ...spec, allow_legacy_algorithms: true },
      dial: dialTcp(sshd.address),
    });
    expect((await ssh(harness, 'root@old-1', ['true'])).code).toBe(0);
    expect((await harness.waitForEvent('session.started')).at(-1)?.data['legacy']).toBe(true);
    expect((await ssh(harness, 'root@web-1', ['true'])).code).toBe(0);
    expect((await harness.waitForEvent('session.started', 2)).at(-1)?.data).not.toHaveProperty(
      'legacy',
    );
  });

  it('refuses a login whose user it does not know, before any forward', async () => {
    const result = await ssh(harness, 'nosuchuser@web-1', [], {
      flags: ['-N', '-L', '45999:127.0.0.1:1'],
    });
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('could not log in to web-1 as nosuchuser');
    await harness.waitForEvent('session.connect_failed');
  });

  it('does not take the certificate of the person itself', async () => {
    const [address] = [harness.targets.get('web-1')?.spec.address ?? ''];
    const result = await run('ssh', [
      ...sshOptions(harness.files),
      '-o',
      'HostKeyAlias=web-1',
      '-p',
      address.split(':')[1] ?? '',
      'root@127.0.0.1',
      'true',
    ]);
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('Permission denied');
  });
});

describe('a certificate as authority', () => {
  it('is refused, whoever signed it', async () => {
    const key = generateKeyPair('ed25519');
    const forged = await issueSshCertificate({
      type: 'user',
      publicKey: sshPublicKey(key.privateKeyPem),
      serial: 1n,
      keyId: 'root',
      principals: ['root'],
      validAfterMs: Date.now() - 1000,
      validBeforeMs: Date.now() + 100_000,
      identity: harness.user.identity,
      signer: (await import('@gatehouse/identity')).createSigner(harness.user.privateKeyPem),
    });
    const result = await ssh(harness, 'root@web-1', ['true'], {
      files: await filesOf({ privateKeyPem: key.privateKeyPem, sshCertificate: forged }),
    });
    expect(result.code).toBe(255);
    expect(await refusedReason()).toBe('unknown_ca');
  });
});
