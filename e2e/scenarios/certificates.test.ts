/** What a certificate must be: CRT-01, 02, 10, 11, SSH-19, and the refusals of Must-show D. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  derToPem,
  encodeIdentity,
  formatSshPublicKey,
  generateKeyPair,
  issueSshCertificate,
  parseSshCertificate,
  sshPublicKey,
} from '@gatehouse/identity';
import {
  createTestAuthorities,
  issueTestHost,
  type TestUserOptions,
} from '@gatehouse/identity/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { searchEvents, waitForEvent } from '../stack/events.js';
import { createForger, type Forger } from '../stack/forge.js';
import { run } from '../stack/run.js';
import { createWorld, type World } from '../stack/world.js';

const hour = 3_600_000;

describe('certificates', () => {
  let world: World;
  let forger: Forger;
  /** alice's own identity, so that only what a case changes is wrong. */
  let alice: TestUserOptions;
  beforeAll(async () => {
    world = await createWorld({ people: { alice: ['dev'], bob: ['dev'] } });
    forger = await createForger(world.home);
    const status = await world.person('alice').json<Record<string, string>>(['status']);
    const line = readFileSync(status['sshCertFile'] ?? '', 'utf8').split(' ')[1] ?? '';
    const { identity } = parseSshCertificate(Buffer.from(line, 'base64'));
    if (identity === undefined) throw new Error('no identity in the certificate');
    alice = { ...identity };
  });
  afterAll(async () => world[Symbol.asyncDispose]());

  async function refused(
    result: { code: number; stderr: string },
    expected: { from: string; reason: string; text: string },
    before: number,
  ): Promise<void> {
    expect(result.stderr).toContain(expected.text);
    expect(result.code).toBe(255);
    const event = await waitForEvent(
      world.ada,
      { from: expected.from, outcome: 'denied' },
      ({ reason }) => reason === expected.reason,
    );
    expect(['connection.refused', 'session.denied']).toContain(event.type);
    expect(world.web1.connections).toBe(before);
  }

  it('open the door when they are right, before and after all others', async () => {
    const good = await forger.user(alice);
    expect(await forger.ssh(good, 'deploy@web-1', 'echo in')).toMatchObject({
      stdout: 'in\n',
      code: 0,
    });
    expect(await forger.preface(good, 'web-1', 'deploy')).toMatchObject({
      session: expect.stringMatching(/^ses_/),
    });
  });

  const now = Date.now();
  const cases: [string, TestUserOptions, string, string][] = [
    [
      'expired',
      { validAfterMs: now - hour, validBeforeMs: now - 1_000 },
      'expired',
      'certificate expired at',
    ],
    [
      'not yet valid',
      { validAfterMs: now + hour, validBeforeMs: now + 2 * hour },
      'not_yet_valid',
      'certificate is not valid before',
    ],
    ['for another principal', { principals: ['root'] }, 'principal', 'certificate is not accepted'],
    [
      'of an unknown payload version',
      { payload: '{"v":2,"user":"alice","roles":["dev"],"traits":{},"loginId":"lgn_x"}' },
      'identity',
      'certificate is not accepted',
    ],
    ['with broken JSON inside', { payload: '{"v":1,' }, 'identity', 'certificate is not accepted'],
    [
      'with a key twice',
      {
        payload:
          '{"v":1,"user":"alice","user":"root","roles":["dev"],"traits":{},"loginId":"lgn_00000000000000000000000000000000"}',
      },
      'identity',
      'certificate is not accepted',
    ],
    [
      'with more than 16 KiB of payload',
      {
        payload: `{"v":1,"user":"alice","roles":["dev"],"traits":{"a":["${'x'.repeat(20_000)}"]},"loginId":"lgn_00000000000000000000000000000000"}`,
      },
      'identity',
      'certificate is not accepted',
    ],
    ['without a payload', { payload: null }, 'identity', 'certificate is not accepted'],
    [
      'of somebody who does not exist',
      { user: 'nobody-here' },
      'no_such_user',
      'certificate is not accepted',
    ],
  ];
  it.each(cases)(
    "are refused when %s, in SSH's own words (CRT-01, CRT-10)",
    async (_what, change, reason, text) => {
      const before = world.web1.connections;
      const from = new Date().toISOString();
      const bad = await forger.user({ ...alice, ...change });
      await refused(await forger.ssh(bad, 'deploy@web-1'), { from, reason, text }, before);
    },
  );

  it.each(cases.filter(([, change]) => change.principals === undefined))(
    'are refused when %s, by the preface too',
    async (_what, change, _reason, text) => {
      const bad = await forger.user({ ...alice, ...change });
      const answer = await forger.preface(bad, 'web-1', 'deploy');
      expect(answer.error?.message).toContain(text);
      expect(answer.session).toBeUndefined();
    },
  );

  it("are refused when another CA signed them, or a host certificate stands in for a person's", async () => {
    const before = world.web1.connections;
    const strangers = await createTestAuthorities('home');
    const from = new Date().toISOString();
    await refused(
      await forger.ssh(await forger.user(alice, strangers), 'deploy@web-1'),
      { from, reason: 'unknown_ca', text: 'certificate is not accepted' },
      before,
    );
    const host = await issueTestHost(forger.authorities, ['alice']);
    const result = await forger.ssh(
      { privateKeyPem: host.privateKeyPem, sshCertificate: host.certificate },
      'deploy@web-1',
    );
    expect(result.code).toBe(255);
    expect(world.web1.connections).toBe(before);
  });

  it('are never authorities themselves (CRT-02)', async () => {
    const before = world.web1.connections;
    const from = new Date().toISOString();
    const own = await forger.user({ ...alice, keyType: 'ed25519' });
    const { createSigner } = await import('@gatehouse/identity');
    const forged = generateKeyPair('ed25519');
    const signedByUser = await issueSshCertificate({
      type: 'user',
      publicKey: sshPublicKey(forged.privateKeyPem),
      serial: 7n,
      keyId: 'root',
      principals: ['alice'],
      validAfterMs: Date.now() - 60_000,
      validBeforeMs: Date.now() + hour,
      identity: own.identity,
      signer: createSigner(own.privateKeyPem),
    });
    await refused(
      await forger.ssh(
        { privateKeyPem: forged.privateKeyPem, sshCertificate: signedByUser },
        'deploy@web-1',
      ),
      { from, reason: 'unknown_ca', text: 'certificate is not accepted' },
      before,
    );
    // The X.509 user certificate as issuer of another.
    const { issueUncheckedTlsCertificate } = await import('@gatehouse/identity/testing');
    const ca = await forger.user(alice);
    const leaf = generateKeyPair('p256');
    const tlsCertificate = await issueUncheckedTlsCertificate({
      authority: { certificate: ca.tlsCertificate, signer: createSigner(ca.privateKeyPem) },
      publicKeySpki: leaf.spki,
      part: { cluster: 'home', type: 'user', name: 'root' },
      identityJson: encodeIdentity(own.identity),
      notBeforeMs: Date.now() - 60_000,
      notAfterMs: Date.now() + hour,
      usage: 'client',
    });
    const answer = await forger.preface(
      { privateKeyPem: leaf.privateKeyPem, tlsCertificate, chain: ca.tlsCertificate },
      'web-1',
      'deploy',
    );
    expect(answer.error?.message).toContain('signature key is a certificate');
    await waitForEvent(
      world.ada,
      { from, type: 'connection.refused' },
      ({ reason }) => reason === 'certificate_as_ca',
    );
  });

  it('accept unknown optional fields of a known version (CRT-10)', async () => {
    const json = JSON.stringify({ ...alice, later: { anything: true } });
    const good = await forger.user({ ...alice, payload: json });
    expect(await forger.ssh(good, 'deploy@web-1', 'echo in')).toMatchObject({ stdout: 'in\n' });
  });

  it('must be of one person in TLS and in the SSH inside it (CRT-10)', async () => {
    const outer = world.person('alice');
    const proxyCommand = readFileSync(await outer.sshConfig(), 'utf8')
      .split('\n')
      .find((line) => line.includes('ProxyCommand'));
    const connectAs = async (name: string) => {
      const status = await world.person(name).json<Record<string, string>>(['status']);
      const file = join(world.home.dir, `mixed-${name}`);
      const lines = [
        proxyCommand?.trim(),
        `IdentityFile ${status['sshKeyFile']}`,
        `CertificateFile ${status['sshCertFile']}`,
        'IdentitiesOnly yes',
        `UserKnownHostsFile ${status['knownHostsFile']}`,
        'GlobalKnownHostsFile /dev/null',
        'BatchMode yes',
      ];
      writeFileSync(file, `Host *\n${lines.map((line) => `  ${line}\n`).join('')}`);
      return run('ssh', ['-F', file, 'deploy@web-1', 'true']);
    };
    expect((await connectAs('alice')).code).toBe(0);
    const before = world.web1.connections;
    const from = new Date().toISOString();
    const text = 'the SSH certificate is not';
    await refused(await connectAs('bob'), { from, reason: 'identity', text }, before);
  });

  it('let ssh trust the host by the one authority line, and only then (CRT-11)', async () => {
    const person = world.person('alice');
    expect((await person.ssh(['deploy@web-1', 'true'])).code).toBe(0);
    const without = await person.ssh([
      '-o',
      'UserKnownHostsFile=/dev/null',
      'deploy@web-1',
      'true',
    ]);
    expect(without.code).toBe(255);
    expect(without.stderr).toContain('Host key verification failed');
    const other = await person.ssh(['-o', 'HostKeyAlias=web-2', 'deploy@web-1', 'true']);
    expect(other.code).toBe(255);
  });

  it('are asked for: other methods count as one failure, a silent probe as none (SSH-19)', async () => {
    const from = new Date().toISOString();
    const port = world.home.ready.proxyAddr.split(':')[1] ?? '';
    const key = generateKeyPair('ed25519');
    expect(formatSshPublicKey(sshPublicKey(key.privateKeyPem))).toContain('ssh-ed25519');
    const result = await run('ssh', [
      '-F',
      '/dev/null',
      '-p',
      port,
      '-o',
      'BatchMode=yes',
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'UserKnownHostsFile=/dev/null',
      '-o',
      'IdentityFile=none',
      'deploy@web-1@localhost',
      'true',
    ]);
    expect(result.code).toBe(255);
    expect(result.stderr).toContain('publickey');
    await waitForEvent(
      world.ada,
      { from, type: 'connection.refused' },
      ({ reason }) => reason === 'no_certificate',
    );
    const again = await searchEvents(world.ada, { from, type: 'connection.refused' });
    expect(again).toHaveLength(1);
    expect(derToPem(Buffer.from('x'), 'X')).toContain('BEGIN X');
  });
});
