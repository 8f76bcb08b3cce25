/** Certificates of ours at a real sshd and a real ssh, in the way targets and people meet them. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import {
  createSigner,
  encodeOpensshPrivateKey,
  formatSshPublicKey,
  issueSshCertificate,
  sshPublicKey,
  generateKeyPair,
} from '../src/index.js';
import {
  createTestAuthorities,
  createTestSshAuthority,
  forgeSshCertificate,
  issueTestHost,
  issueTestLogin,
  issueTestUser,
  type TestAuthorities,
  type TestHost,
} from '../src/testing.js';
import { temporaryFolder } from './tools.js';

const sshd = '/usr/sbin/sshd';
const login = userInfo().username;

let authorities: TestAuthorities;

beforeAll(async () => {
  // sshd changes to this folder before login; only root needs it.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  authorities = await createTestAuthorities();
});

interface Attempt {
  readonly key?: { readonly privateKeyPem: string; readonly certificate: Buffer };
  readonly host?: TestHost;
  /** What the client expects the host to be. */
  readonly hostName?: string;
  readonly trustedUserCa?: Buffer;
}

/** Runs `ssh … echo` through an sshd on its own stdin and stdout, with only the CAs trusted. No port, no daemon. */
async function tryLogin(attempt: Attempt): Promise<{ code: number; output: string }> {
  const folder = temporaryFolder();
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const host = attempt.host ?? (await issueTestHost(authorities, ['web-1']));
  const key = attempt.key ?? (await issueTestLogin(authorities, login));
  const config = file(
    'sshd_config',
    [
      `HostKey ${file('host', encodeOpensshPrivateKey(host.privateKeyPem, ''))}`,
      `HostCertificate ${file('host-cert.pub', formatSshPublicKey(host.certificate))}`,
      `TrustedUserCAKeys ${file('user_ca.pub', formatSshPublicKey(attempt.trustedUserCa ?? authorities.targetSsh.publicKey))}`,
      'AuthorizedKeysFile none',
      'AuthenticationMethods publickey',
      'PermitRootLogin prohibit-password',
      'StrictModes no',
      'UsePAM no',
      '',
    ].join('\n'),
  );
  const known = `@cert-authority * ${formatSshPublicKey(authorities.hostSsh.publicKey)}\n`;
  const identity = file('key', encodeOpensshPrivateKey(key.privateKeyPem, ''));
  const options = {
    CertificateFile: file('key-cert.pub', formatSshPublicKey(key.certificate)),
    ProxyCommand: `${sshd} -i -e -f ${config}`,
    UserKnownHostsFile: file('known_hosts', known),
    GlobalKnownHostsFile: 'none',
    StrictHostKeyChecking: 'yes',
    IdentitiesOnly: 'yes',
    IdentityAgent: 'none',
    BatchMode: 'yes',
  };
  const args = ['-F', 'none', '-i', identity, '-l', login].concat(
    Object.entries(options).map(([name, value]) => `-o${name}=${value}`),
    attempt.hostName ?? 'web-1',
    'echo logged in',
  );
  try {
    return {
      code: 0,
      output: execFileSync('ssh', args, { encoding: 'utf8', timeout: 20_000, stdio: 'pipe' }),
    };
  } catch (thrown) {
    const { status, stderr } = thrown as { status: number; stderr: string };
    return { code: status, output: stderr };
  }
}

describe('a real sshd that trusts target_ssh, and a real ssh that trusts host_ssh', () => {
  it('log in without a prompt and without trust on first use', async () => {
    expect(await tryLogin({})).toEqual({ code: 0, output: 'logged in\n' });
  });

  it.each(['ed25519', 'p256'] as const)('accept a %s key under a P-256 CA', async (type) => {
    const ca = createTestSshAuthority('p256');
    const { privateKeyPem } = generateKeyPair(type);
    const certificate = await issueSshCertificate({
      type: 'user',
      publicKey: sshPublicKey(privateKeyPem),
      serial: 2n ** 64n - 1n,
      keyId: 'alice as someone',
      principals: [login],
      validAfterMs: Date.now() - 120_000,
      validBeforeMs: Date.now() + 60_000,
      signer: ca.signer,
    });
    const attempt = { key: { privateKeyPem, certificate }, trustedUserCa: ca.publicKey };
    expect(await tryLogin(attempt)).toEqual({ code: 0, output: 'logged in\n' });
  });

  it('refuse another login, an expired certificate and another CA', async () => {
    for (const key of [
      await issueTestLogin(authorities, `not-${login}`),
      await issueTestLogin(authorities, login, { validBeforeMs: Date.now() - 1000 }),
      await issueTestLogin({ ...authorities, targetSsh: createTestSshAuthority() }, login),
    ]) {
      const { code, output } = await tryLogin({ key });
      expect(code).toBe(255);
      expect(output).toContain('Permission denied');
    }
  });

  it('refuse a person’s own certificate: it always meets the proxy’s decision (D16)', async () => {
    const { privateKeyPem, sshCertificate } = await issueTestUser(authorities, { user: login });
    expect(await tryLogin({ key: { privateKeyPem, certificate: sshCertificate } })).toMatchObject({
      code: 255,
    });
  });

  // CRT-02
  it('refuse a certificate signed with a user key that names the user certificate as its CA', async () => {
    const alice = await issueTestUser(authorities, { user: login });
    const certificate = await forgeSshCertificate(
      {
        type: 'user',
        publicKey: alice.sshPublicKey,
        serial: 1n,
        keyId: login,
        principals: [login],
        validAfterMs: Date.now() - 120_000,
        validBeforeMs: Date.now() + 60_000,
        signer: createSigner(alice.privateKeyPem),
      },
      alice.sshCertificate,
    );
    expect(
      await tryLogin({ key: { privateKeyPem: alice.privateKeyPem, certificate } }),
    ).toMatchObject({ code: 255 });
  });

  it('refuse the host certificate of another host or another CA', async () => {
    const host = await issueTestHost(authorities, ['web-2']);
    expect((await tryLogin({ host })).output).toContain('not a listed principal');
    expect(await tryLogin({ host, hostName: 'web-2' })).toMatchObject({ code: 0 });
    const foreign = await issueTestHost({ ...authorities, hostSsh: createTestSshAuthority() }, [
      'web-1',
    ]);
    expect(await tryLogin({ host: foreign })).toMatchObject({ code: 255 });
  });
});
