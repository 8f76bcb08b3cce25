/** Login, invitations and certificates as a person meets them: LOG-01, LOG-16, CRT-03, CRT-05, LIM-01, LIM-07, OPS-09. */
import { chmodSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { waitForEvent } from '../stack/events.js';
import { startHome, type Home } from '../stack/home.js';
import { createAdmin, createPerson, Person } from '../stack/person.js';
import { run } from '../stack/run.js';

const wrong = 'wrong user name, password or code';

describe('login', () => {
  let home: Home;
  let ada: Person;
  beforeAll(async () => {
    home = await startHome({ flags: ['--no-agent'] });
    ada = await createAdmin(home);
  });
  afterAll(async () => home[Symbol.asyncDispose]());

  it('needs password and code, says the same of every mistake, and takes no code twice (LOG-01)', async () => {
    const { inviteUrl } = await ada.json<{ inviteUrl: string }>([
      'users',
      'add',
      'alice',
      '--roles',
      'access',
    ]);
    const alice = new Person(home, 'alice');
    await alice.accept(inviteUrl);
    const from = new Date().toISOString();
    const otp = await alice.otp();
    const tryWith = async (flags: Record<string, string>) => {
      const merged = { user: 'alice', 'password-file': alice.passwordFile, otp, ...flags };
      return alice.gate([
        'login',
        ...Object.entries(merged).flatMap(([name, value]) => [`--${name}`, value]),
      ]);
    };
    expect((await tryWith({})).code).toBe(0);
    const status = await alice.json<{ roles: string[]; validUntil: string }>(['status']);
    expect(status.roles).toEqual(['access']);
    expect(Date.parse(status.validUntil)).toBeGreaterThan(Date.now());
    await alice.gate(['logout']);
    const badPassword = join(home.dir, 'bad');
    writeFileSync(badPassword, 'not the password', { mode: 0o600 });
    const attempts = [
      [await tryWith({}), 'code_replayed'],
      [await tryWith({ otp: otp === '000000' ? '000001' : '000000' }), 'bad_code'],
      [await tryWith({ 'password-file': badPassword, otp: '123456' }), 'bad_password'],
      [await tryWith({ user: 'nobody', otp: '123456' }), 'unknown_user'],
    ] as const;
    for (const [result, reason] of attempts) {
      expect(result.code).toBe(1);
      expect(result.stderr).toContain(wrong);
      await waitForEvent(ada, { type: 'login.failed', from }, (event) => event.reason === reason);
    }
    expect((await alice.gate(['status'])).code).toBe(1);
    expect((await alice.tryLogin()).code).toBe(0);
  });

  it('takes an invitation once, and says the same of every link that is not valid (LOG-16)', async () => {
    const { inviteUrl } = await ada.json<{ inviteUrl: string }>([
      'users',
      'add',
      'zoe',
      '--roles',
      'access',
    ]);
    const zoe = new Person(home, 'zoe');
    // A link that is used up before its secret has a place to go would lock the person out.
    const nowhere = ['--totp-secret-file', join(home.dir, 'no', 'totp')];
    const flags = ['--password-file', zoe.passwordFile, ...nowhere];
    const unkept = await zoe.gate(['invite', 'accept', inviteUrl, ...flags]);
    expect(unkept.stderr).toContain('can not write');
    await zoe.accept(inviteUrl);
    await zoe.login();
    const altered = `${inviteUrl.slice(0, -1)}${inviteUrl.endsWith('a') ? 'b' : 'a'}`;
    for (const url of [inviteUrl, altered]) {
      const again = await zoe.gate(['invite', 'accept', url, '--password-file', zoe.passwordFile]);
      expect(again.code).toBe(1);
      expect(again.stderr).toContain('this link is not valid');
    }
    await waitForEvent(ada, { type: 'login.failed' }, ({ reason }) => reason === 'link');
    const reset = await ada.json<{ inviteUrl: string }>(['users', 'reset', 'zoe']);
    expect((await zoe.gate(['ls'])).code).not.toBe(0);
    await zoe.accept(reset.inviteUrl);
    await zoe.login();
  });

  it('gives certificates of the life asked for, capped by the strictest role, the same in SSH and X.509 (CRT-03)', async () => {
    const role = (name: string, ttl: string) =>
      `{kind: role, version: v1, metadata: {name: ${name}}, spec: {options: {max_session_ttl: ${ttl}}, allow: {logins: [x], node_labels: {a: b}}}}\n`;
    const file = join(home.dir, 'ttl.yaml');
    writeFileSync(file, `${role('eight', '8h')}---\n${role('two', '2h')}`);
    expect((await ada.gate(['apply', '-f', file])).code).toBe(0);
    const tim = await createPerson(ada, 'tim', ['eight']);
    const tom = await createPerson(ada, 'tom', ['eight', 'two']);
    const hours = async (person: Person, ttl: string[]) => {
      const status = await person.login(ttl);
      const ends = Date.parse(String(status['validUntil']));
      const ssh = await run('ssh-keygen', ['-L', '-f', String(status['sshCertFile'])]);
      const sshEnd = /Valid: .* to (\S+)/.exec(ssh.stdout)?.[1] ?? '';
      const tls = await run('openssl', [
        'x509',
        '-noout',
        '-enddate',
        '-in',
        String(status['tlsCertFile']),
      ]);
      const tlsEnd = Date.parse(tls.stdout.replace('notAfter=', ''));
      expect(Math.abs(tlsEnd - ends)).toBeLessThan(1_000);
      expect(Math.abs(Date.parse(`${sshEnd}`) - ends)).toBeLessThan(1_000);
      return (ends - Date.now()) / 3_600_000;
    };
    expect(await hours(tim, ['--ttl', '1h'])).toBeCloseTo(1, 1);
    expect(await hours(tim, ['--ttl', '100h'])).toBeCloseTo(8, 1);
    expect(await hours(tom, [])).toBeCloseTo(2, 1);
  });

  it('keeps private keys with the person, 0600, and out of the cluster (CRT-05)', async () => {
    const status = await ada.json<Record<string, string>>(['status']);
    const key = readFileSync(status['sshKeyFile'] ?? '', 'utf8');
    expect(statSync(status['sshKeyFile'] ?? '').mode & 0o777).toBe(0o600);
    expect(statSync(status['tlsKeyFile'] ?? '').mode & 0o777).toBe(0o600);
    expect(statSync(ada.gateHome).mode & 0o777).toBe(0o700);
    const secret = key.split('\n').slice(1, -2).join('').slice(-60);
    const grep = await run('grep', [
      '-r',
      '-l',
      '-F',
      '-e',
      secret.slice(0, 40),
      '-e',
      'BEGIN OPENSSH PRIVATE KEY',
      home.dataDir,
    ]);
    expect(grep.stdout).toBe('');
  });

  it('refuses a home that others could write (LIM-07)', async () => {
    chmodSync(ada.gateHome, 0o777);
    const open = await ada.gate(['status']);
    chmodSync(ada.gateHome, 0o700);
    expect(open.code).toBe(1);
    expect(open.stderr).toContain('permissions are too open');
    expect((await ada.gate(['status'])).code).toBe(0);
  });

  it("answers as JSON alone on stdout, with the contract's exit codes (API-09)", async () => {
    const usage = await ada.gate(['ls', '--nope', '--format', 'json']);
    expect(usage.code).toBe(2);
    const refused = await (
      await createPerson(ada, 'mia', [])
    ).gate(['users', 'add', 'x', '--roles', 'access', '--format', 'json']);
    expect(refused.code).toBe(3);
    expect(JSON.parse(refused.stdout)).toMatchObject({
      error: {
        code: expect.any(String),
        message: expect.any(String),
        id: expect.stringMatching(/^err_/),
      },
    });
    const away = await ada.gate(['ls', '--format', 'json', '--proxy', 'localhost:1']);
    expect(away.code).toBe(1);
    expect(away.stderr).not.toContain('    at ');
    expect(readdirSync(ada.gateHome).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('makes an account wait after five wrong passwords, also for the right one (LIM-01)', async () => {
    const lou = await createPerson(ada, 'lou', ['access']);
    const bad = join(home.dir, 'bad-lou');
    writeFileSync(bad, 'wrong password', { mode: 0o600 });
    const from = new Date().toISOString();
    for (let n = 0; n < 5; n += 1)
      await lou.gate(['login', '--user', 'lou', '--password-file', bad, '--otp', '123456']);
    const right = await lou.tryLogin();
    expect(right.code).toBe(1);
    expect(right.stdout).toContain(wrong);
    await waitForEvent(ada, { type: 'login.blocked', from });
  });
});
