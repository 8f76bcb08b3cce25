import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { derToPem } from '@gatehouse/identity';
import { createTestAuthorities } from '@gatehouse/identity/testing';
import { describe, expect, it } from 'vitest';

import { allCommands } from './all-commands.js';
import { runCommandLine } from './cli.js';
import { storeLogin } from './profile/store-login.js';
import { createRegistry } from './registry.js';
import { createTestEnvironment, createTestFolder, startTestPort } from './testing.js';

const registry = createRegistry(allCommands);

async function run(
  argv: readonly string[],
  options: { home: string; nowMs?: number; variables?: Record<string, string>; typed?: string },
) {
  const environment = createTestEnvironment(options);
  const code = await runCommandLine(argv, environment, registry);
  return { code, out: environment.out(), err: environment.err() };
}

function withLogin(home: string) {
  return storeLogin(home, {
    profile: {
      proxy: 'localhost:8443',
      cluster: 'home',
      user: 'alice',
      roles: ['dev'],
      traits: {},
      logins: ['deploy'],
      validUntil: '2026-11-25T12:00:00Z',
      mfaVerified: true,
      activeRequests: [],
      loginId: 'lgn_1',
    },
    sshKey: 'k',
    sshCertificate: 'c',
    tlsKey: 'k',
    tlsCertificate: 'c',
    ca: 'ca',
    knownHosts: '',
    sshConfig: '',
  });
}

function expectFailure(
  result: { readonly code: number; readonly err: string },
  code: number,
  text: string | RegExp,
): void {
  expect(result.err).toMatch(text);
  expect(result.code).toBe(code);
}

const before = Date.parse('2026-11-25T11:00:00Z');
const after = Date.parse('2026-11-25T12:00:01Z');

describe('gate', () => {
  it('names the nearest command and option, with exit code 2', async () => {
    using folder = createTestFolder();
    const home = folder.path;
    expectFailure(await run(['statsu'], { home }), 2, 'did you mean gate status?');
    expectFailure(await run(['sessions', 'lss'], { home }), 2, 'gate sessions ls');
    expectFailure(await run(['ls', '--serch', 'x'], { home }), 2, '--search');
    expect(await run(['version', 'extra'], { home })).toMatchObject({ code: 2 });
    expect(await run(['lock', '--user', 'a', '--role', 'b'], { home })).toMatchObject({ code: 2 });
    expect(await run(['login', '--ttl', '0s', '--proxy', 'a:1'], { home })).toMatchObject({
      code: 2,
    });
  });

  it('answers a mistake in JSON where JSON is asked for, on stdout only', async () => {
    using folder = createTestFolder();
    for (const argv of [
      ['ls', '--bad', '--format', 'json'],
      ['nothing', '--format=json'],
      ['status', '--format', 'json', '--proxy', 'a:1'],
    ]) {
      const { out, err, code } = await run(argv, { home: folder.path });
      expect(err).toBe('');
      expect(code).toBeGreaterThan(0);
      expect(out).toMatch(/^\{"error":\{"code":".+","message":".+","remedy":.+,"id":null\}\}\n$/);
    }
  });

  it('shows who is logged in, until the certificate ends', async () => {
    using folder = createTestFolder();
    const { files } = withLogin(folder.path);
    const argv = ['status', '--format', 'json', '--proxy', 'localhost:8443'];
    const good = await run(argv, { home: folder.path, nowMs: before });
    expect(good.code).toBe(0);
    expect(JSON.parse(good.out)).toMatchObject({
      proxy: 'localhost:8443',
      cluster: 'home',
      user: 'alice',
      roles: ['dev'],
      logins: ['deploy'],
      validUntil: '2026-11-25T12:00:00Z',
      mfaVerified: true,
      activeRequests: [],
      sshKeyFile: files.sshKey,
      knownHostsFile: files.knownHosts,
    });
    const ended = await run(['status', '--proxy', 'localhost:8443'], {
      home: folder.path,
      nowMs: after,
    });
    expectFailure(ended, 1, 'certificate expired at 2026-11-25T12:00:00Z; run gate login');
  });

  it('writes a complete configuration for ssh', async () => {
    using folder = createTestFolder();
    withLogin(folder.path);
    const file = join(folder.path, 'out.ssh');
    const result = await run(['config', '--write', file, '--proxy', 'localhost:8443'], {
      home: folder.path,
      nowMs: before,
    });
    expect(result).toMatchObject({ code: 0, out: '' });
    expect(readFileSync(file, 'utf8')).toContain(
      "ProxyCommand '/opt/gate house/bin/gate' proxy ssh",
    );
    const include = await run(['config', '--include', '--proxy', 'localhost:8443'], {
      home: folder.path,
      nowMs: before,
    });
    expect(include.out).toContain('Host *.home\n');
  });

  it('asks nothing without a terminal: what is missing is an error that names the flag', async () => {
    using folder = createTestFolder();
    const invite = await run(['invite', 'accept', 'http://x/invite/y'], { home: folder.path });
    expectFailure(invite, 2, 'https://HOST:PORT/invite/');
    const users = await run(['users', 'add', 'bob'], { home: folder.path });
    expectFailure(users, 2, '--roles');
    const apply = await run(['apply'], { home: folder.path });
    expectFailure(apply, 2, '-f FILE');
  });

  // A script on a terminal, as in a build's log or over ssh -t, would wait for an answer for ever.
  it('asks nothing on a terminal either once a flag of scripts is given', async () => {
    const authorities = await createTestAuthorities('home');
    const caBundle = derToPem(authorities.hostTls.certificate, 'CERTIFICATE');
    await using port = await startTestPort(authorities, {
      onHttp: (_request, response) =>
        response.end(JSON.stringify({ clusterName: 'home', caBundle, secondFactor: 'required' })),
    });
    using folder = createTestFolder();
    const passwordFile = join(folder.path, 'password');
    writeFileSync(passwordFile, 'secret');
    const login = async (...flags: string[]) =>
      run(['login', '--proxy', port.address.text, '--ca-pin', port.pin, ...flags], {
        home: join(folder.path, 'home'),
        typed: '',
      });
    expect(await login('--password-file', passwordFile)).toMatchObject({
      code: 2,
      err: 'gate: the code of the second factor is missing: give --otp CODE\n',
    });
    expect(await login('--otp', '123456')).toMatchObject({
      code: 2,
      err: 'gate: the password is missing: give --password-file FILE\n',
    });
    expect((await login()).err).toMatch(/^User \[/);
  });

  // One wrong name, and the only administrator has locked himself out.
  it.each([
    ['--user', 'alice'],
    ['--role', 'dev'],
  ])('asks before a lock by %s that names whoever makes it', async (flag, name) => {
    using folder = createTestFolder();
    withLogin(folder.path);
    const variables = { GATE_PROXY: 'localhost:8443' };
    const place = { home: folder.path, nowMs: before, variables };
    expectFailure(await run(['lock', flag, name], place), 2, /which shuts you out, .* give --yes/);
    expectFailure(
      await run(['lock', flag, name], { ...place, typed: 'n\n' }),
      1,
      /^lock \w+ \w+, which shuts you out\? \[y\/N\] gate: did not lock/,
    );
    // Beyond the question nothing is there to talk to.
    for (const argv of [
      [flag, name, '--yes'],
      ['--user', 'bob'],
      ['--role', 'ops'],
    ]) {
      const result = await run(['lock', ...argv], place);
      expect(result.err).not.toContain('shuts you out');
      expect(result.code).toBe(1);
    }
  });

  it('checks documents before anything is sent, with the place of the mistake', async () => {
    using folder = createTestFolder();
    const file = join(folder.path, 'x.yaml');
    const apply = async (text: string) => {
      writeFileSync(file, text);
      return run(['apply', '-f', file], { home: folder.path });
    };
    expectFailure(
      await apply('kind: role\nmetadata: {name: a}\n---\nkind: role\n'),
      2,
      'document 2',
    );
    expectFailure(await apply('kind: ['), 2, file);
    expectFailure(await apply('a: 1\na: 2'), 2, 'unique');
    expect(await apply('')).toMatchObject({ code: 2 });
  });

  it('ends gate proxy ssh with 255 and a plain line, whatever went wrong', async () => {
    using folder = createTestFolder();
    const result = await run(['proxy', 'ssh', '--host', 'web-1', '--proxy', 'localhost:1'], {
      home: folder.path,
    });
    expectFailure(result, 255, /^gate: not logged in to localhost:1\n/);
  });

  it('has help with three examples for every command', async () => {
    for (const command of await registry.loadAll()) {
      expect(command.help.examples.length, command.name).toBeGreaterThanOrEqual(3);
      expect(registry.names).toContain(command.name);
      expect(command.summary).not.toMatch(/^[A-Z]|\.$/);
    }
    using folder = createTestFolder();
    expect((await run(['ls', '--help'], { home: folder.path })).out).toContain(
      'exit codes: 0 done',
    );
    expect((await run([], { home: folder.path })).out).toContain('audit search');
  });
});
