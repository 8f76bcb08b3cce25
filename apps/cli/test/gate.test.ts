/** The program as a process: bin/gate from this clone. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';

import { derToPem } from '@gatehouse/identity';
import {
  createTestAuthorities,
  issueTestUser,
  type TestAuthorities,
} from '@gatehouse/identity/testing';
import { beforeAll, describe, expect, it } from 'vitest';

import { storeLogin } from '../src/profile/store-login.js';
import { createTestFolder, startTestPort, type TestPort } from '../src/testing.js';

const gate = resolve(import.meta.dirname, '../../../bin/gate');
const dist = resolve(import.meta.dirname, '../dist');
let authorities: TestAuthorities;

beforeAll(async () => {
  execFileSync(gate, ['--version']);
  authorities = await createTestAuthorities('home');
}, 180_000);

function start(argv: readonly string[], home: string): ChildProcess {
  return spawn(gate, argv, { env: { ...process.env, GATE_HOME: home, GATE_PROXY: '' } });
}

async function finish(child: ChildProcess, input?: Uint8Array) {
  child.stdin?.end(input);
  const [out, err, [code, signal]] = await Promise.all([
    child.stdout === null ? Buffer.alloc(0) : buffer(child.stdout),
    child.stderr === null ? '' : text(child.stderr),
    once(child, 'exit') as Promise<[number | null, string | null]>,
  ]);
  return { out, err, code, signal };
}

async function storeTestLogin(home: string, port: TestPort): Promise<void> {
  const user = await issueTestUser(authorities);
  storeLogin(home, {
    profile: {
      proxy: port.address.text,
      cluster: 'home',
      user: 'alice',
      roles: [],
      traits: {},
      logins: ['deploy'],
      validUntil: new Date(Date.now() + 3_600_000).toISOString(),
      mfaVerified: true,
      activeRequests: [],
      loginId: 'lgn_1',
    },
    sshKey: '',
    sshCertificate: '',
    tlsKey: user.privateKeyPem,
    tlsCertificate: derToPem(user.tlsCertificate, 'CERTIFICATE'),
    ca: derToPem(authorities.hostTls.certificate, 'CERTIFICATE'),
    knownHosts: '',
    sshConfig: '',
  });
}

function frame(value: object): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(json.length);
  return Buffer.concat([length, json]);
}

/** Answers the preface, then sends back what it gets, and ends when the other side has. */
const echo = (reply: object) => async (socket: TLSSocket) => {
  await once(socket, 'data');
  socket.pause();
  socket.write(frame(reply));
  socket.pipe(socket);
};

describe('gate proxy ssh', () => {
  it('carries any bytes both ways and ends with the far side', async () => {
    using folder = createTestFolder();
    await using port = await startTestPort(authorities, { onSsh: echo({ session: 'ses_1' }) });
    await storeTestLogin(folder.path, port);
    const input = Buffer.alloc(5_000_003, 3).fill('\u0000\u0003\r\n', 100, 2_000_000);
    const child = start(
      ['proxy', 'ssh', '--proxy', port.address.text, '--host', 'web-1.home'],
      folder.path,
    );
    const { out, err, code } = await finish(child, input);
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(out.equals(input)).toBe(true);
  });

  it('says in plain lines on stderr why it was refused, and ends with 255', async () => {
    using folder = createTestFolder();
    const error = { code: 'LOCKED', message: 'locked: incident 7', remedy: 'ask ada', id: 'err_1' };
    await using port = await startTestPort(authorities, { onSsh: echo({ error }) });
    await storeTestLogin(folder.path, port);
    const child = start(
      ['proxy', 'ssh', '--proxy', port.address.text, '--host', 'web-1'],
      folder.path,
    );
    expect(await finish(child)).toMatchObject({
      code: 255,
      err: 'gate: locked: incident 7\n  fix: ask ada\n  id: err_1\n',
    });
  });

  // What it loads is loaded at each start of ssh.
  it('is bundled without gRPC, zod and YAML', () => {
    const bundle = join(dist, 'main-local.cjs');
    expect(statSync(bundle).size).toBeLessThan(150_000);
    expect(readFileSync(bundle, 'utf8')).not.toMatch(
      /require\("(node:)?http2"\)|ZodError|YAMLParseError/,
    );
    expect(readFileSync(join(dist, 'main.cjs'), 'utf8')).toMatch(/require\("(node:)?http2"\)/);
  });
});

describe('gate', () => {
  it('leaves no half-written file when a login is interrupted', async () => {
    using folder = createTestFolder();
    const reached = Promise.withResolvers<undefined>();
    await using port = await startTestPort(authorities, {
      onHttp: (_request, response) => {
        response.write('{"clusterName":');
        reached.resolve(undefined);
      },
    });
    const password = join(folder.path, 'password');
    writeFileSync(password, 'correct horse battery');
    const before = readdirSync(folder.path, { recursive: true });
    const argv = [
      'login',
      '--proxy',
      port.address.text,
      '--ca-pin',
      port.pin,
      '--user',
      'a',
      '--password-file',
      password,
      '--otp',
      '1',
    ];
    const child = start(argv, folder.path);
    const ended = finish(child);
    await reached.promise;
    child.kill('SIGINT');
    const { signal, err, out } = await ended;
    expect({ signal, err, out: out.length }).toEqual({ signal: 'SIGINT', err: '', out: 0 });
    expect(readdirSync(folder.path, { recursive: true })).toEqual(before);
  });

  it('ends with a code and no stack trace when nobody reads its output', async () => {
    using folder = createTestFolder();
    const child = start(['--help'], folder.path);
    child.stdout?.destroy();
    const [code] = (await once(child, 'exit')) as [number];
    expect([0, 1]).toContain(code);
    expect(child.stderr === null ? '' : await text(child.stderr)).toBe('');
  });

  it('works from another folder and through a symbolic link', async () => {
    using folder = createTestFolder();
    execFileSync('ln', ['-s', gate, join(folder.path, 'gate')]);
    const printed = execFileSync(join(folder.path, 'gate'), ['version', '--format', 'json'], {
      cwd: folder.path,
      encoding: 'utf8',
    });
    expect(JSON.parse(printed)).toMatchObject({ version: expect.stringMatching(/^\d/) as unknown });
  });
});
